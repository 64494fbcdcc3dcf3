import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { run } from '../support/netns.ts'

test('src/README.md holds the map that the imports draw', async (t) => {
  const map = run([process.execPath, 'scripts/rooms.mjs', '--map']).stdout.trim()
  const text = readFileSync('src/README.md', 'utf8')
  const held = /<!-- map -->\n(.*?)\n<!-- \/map -->/s.exec(text)?.[1]
  t.equal(held, map, 'run "npm run map" and put its output between the two marks')
})
