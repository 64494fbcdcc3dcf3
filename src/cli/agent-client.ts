import { request } from 'node:http'
import { type AgentStatus, statusSocketPath } from '../serve/agent-status.ts'
import { type Desk, type Option, requiredText, ToolFault } from './command.ts'

export const socketOption: Option = {
  type: 'string',
  value: 'PATH',
  default: statusSocketPath,
  text: "the agent's socket",
}

/** The agent answers out of its memory; who waits longer waits for a process that hangs. */
const answerMilliseconds = 5_000
/** 5,000 peers are 3 MB. */
const answerBytesMax = 64 * 1024 * 1024

export type AgentAnswer =
  | { readonly kind: 'status'; readonly status: AgentStatus }
  /** Nobody listens there, or we may not ask: why, in words. */
  | { readonly kind: 'absent'; readonly why: string }

/** What the agent of this node says of itself. */
export async function askAgent(desk: Desk): Promise<AgentAnswer> {
  const socketPath = requiredText(desk, 'socket', 'PATH')
  let text: string
  try {
    text = await get(socketPath, '/status')
  } catch (refusal) {
    const why = absences[(refusal as NodeJS.ErrnoException).code ?? '']
    if (why !== undefined) return { kind: 'absent', why: `${socketPath}: ${why}` }
    const said = refusal instanceof Error ? refusal.message : String(refusal)
    throw new ToolFault(`the agent at ${socketPath} does not answer as it should: ${said}`)
  }
  try {
    return { kind: 'status', status: JSON.parse(text) as AgentStatus }
  } catch {
    throw new ToolFault(`what listens at ${socketPath} is no agent of Tulle: it sends no JSON`)
  }
}

const absences: Readonly<Record<string, string>> = {
  ENOENT: 'no such socket',
  ECONNREFUSED: 'nobody listens there any more',
  EACCES: 'only root may ask',
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, timeout: answerMilliseconds }, (answer) => {
      const parts: Buffer[] = []
      let bytes = 0
      answer.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes > answerBytesMax) asked.destroy(new Error(`more than ${answerBytesMax} bytes`))
        parts.push(part)
      })
      answer.on('error', reject)
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(Buffer.concat(parts).toString('utf8'))
        else reject(new Error(`${path} gave ${answer.statusCode}`))
      })
    })
    asked.on('timeout', () => {
      asked.destroy(new Error(`nothing for ${answerMilliseconds / 1000} s`))
    })
    asked.on('error', reject)
    asked.end()
  })
}
