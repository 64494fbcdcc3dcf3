// Many agents on a modelled kernel and API: node --test is not needed to replay a seed,
//   TULLE_SIM_SEEDS=4711 node test/sim/sim.test.ts
import t from 'tap'
import { World } from './world.ts'

t.setTimeout(280_000)

/** Seeds "from-to", or one; the nightly run has a thousand. */
const [first, last] = (process.env.TULLE_SIM_SEEDS ?? '1-50').split('-').map(Number)

t.test('after any troubles every node holds exactly what the cluster wants', async (t) => {
  for (let seed = first ?? 1; seed <= (last ?? first ?? 1); seed++) {
    const world = new World(seed, 2 + (seed % 4))
    const findings = await world.run(60)
    const what = `seed ${seed}: ${world.entries} entries, ${world.deaths} agents killed on the way`
    t.same(findings.slice(0, 10), [], what, { history: world.history.slice(-30) })
  }
})
