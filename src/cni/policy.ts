/** The key `policy`: whether Kubernetes network policies hold for the pods of this network. */
export type PolicyConfig = {
  readonly enforce: boolean
  /** How long ADD waits for the agent's verdict at most; the pod is closed until it is there. */
  readonly waitSeconds?: number
  /** Where the agent has its lock, if not where it has it by default. */
  readonly runDir?: string
}

export const policySchema = {
  type: 'object',
  description: 'an object such as {"enforce": true, "waitSeconds": 5}',
  required: ['enforce'],
  properties: {
    enforce: { type: 'boolean', description: 'true or false' },
    waitSeconds: { type: 'number', minimum: 0, maximum: 60, description: 'seconds, 0 to 60' },
    runDir: { type: 'string', pattern: '^/', description: 'an absolute path' },
  },
}

export const defaultWaitSeconds = 5
export const defaultRunDir = '/run/tulle'
