import { readdirSync, readFileSync, statSync } from 'node:fs'
import { extname, join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { Manifest } from '../policy/from-objects.ts'

/** A manifest that can't be read, or a folder; the text names it. */
export class ManifestFault extends Error {
  override name = 'ManifestFault'
}

const extensions = ['.yaml', '.yml', '.json']

/** Every document of every manifest below a folder, in the order of their paths. */
export function readManifests(from: string): readonly Manifest[] {
  return filesOf(from).flatMap((file) => documentsOf(file))
}

function filesOf(from: string): readonly string[] {
  try {
    if (!statSync(from).isDirectory()) return [from]
    return readdirSync(from, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory() && extensions.includes(extname(entry.name)))
      .map(({ parentPath, name }) => join(parentPath, name))
      .filter((path) => !path.slice(from.length).split('/').some(isHidden))
      .sort()
  } catch (cause) {
    throw new ManifestFault(`Cannot read ${from}: ${textOf(cause)}`, { cause })
  }
}

const isHidden = (name: string): boolean => name.startsWith('.') || name === 'node_modules'

function documentsOf(file: string): readonly Manifest[] {
  const text = textIn(file)
  if (extname(file) === '.json') return [{ place: file, object: jsonOf(text, file) }]
  const documents = parseAllDocuments(text, { merge: true })
  return Array.from(documents, (document, index) => {
    const place = documents.length > 1 ? `${file}, document ${index + 1}` : file
    const [error] = document.errors
    if (error) throw new ManifestFault(`${place} is no YAML: ${firstLine(error.message)}`)
    try {
      return { place, object: document.toJS() as unknown }
    } catch (cause) {
      throw new ManifestFault(`${place} is no YAML: ${firstLine(textOf(cause))}`, { cause })
    }
  })
}

function jsonOf(text: string, file: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new ManifestFault(`${file} is no JSON: ${firstLine(textOf(cause))}`, { cause })
  }
}

function textIn(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ManifestFault(`Cannot read ${file}: ${textOf(cause)}`, { cause })
  }
}

const firstLine = (text: string): string => text.split('\n')[0] ?? ''
const textOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
