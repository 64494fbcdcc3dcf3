import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** PEM, both. */
export type KeyPair = { readonly certificate: string; readonly key: string }

/**
 * An authority and what it signed, made anew by openssl (Debian's ca-certificates brings it). The
 * server is "api.test" and 127.0.0.1, the client "node-1".
 */
export function makeCertificates(): { authority: KeyPair; server: KeyPair; client: KeyPair } {
  const directory = mkdtempSync(join(tmpdir(), 'tulle-certificates-'))
  const run = (...words: readonly string[]): void =>
    void execFileSync('openssl', words, { cwd: directory, stdio: 'pipe' })
  const read = (name: string): KeyPair => ({
    certificate: readFileSync(join(directory, `${name}.crt`), 'utf8'),
    key: readFileSync(join(directory, `${name}.key`), 'utf8'),
  })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const make = (name: string, subject: string, extension: string): void => {
    writeFileSync(join(directory, `${name}.ext`), extension)
    const files = ['-keyout', `${name}.key`, '-out', `${name}.csr`]
    run('req', ...newKey, ...files, '-subj', subject)
    const signer = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial']
    const out = ['-out', `${name}.crt`, '-extfile', `${name}.ext`, '-days', '2']
    run('x509', '-req', '-in', `${name}.csr`, ...signer, ...out)
  }
  try {
    const files = ['-keyout', 'ca.key', '-out', 'ca.crt']
    run('req', '-x509', ...newKey, ...files, '-subj', '/CN=a test authority', '-days', '2')
    make('server', '/CN=api.test', 'subjectAltName=DNS:api.test,IP:127.0.0.1\n')
    make('client', '/O=system:nodes/CN=system:node:node-1', 'extendedKeyUsage=clientAuth\n')
    return { authority: read('ca'), server: read('server'), client: read('client') }
  } finally {
    rmSync(directory, { recursive: true })
  }
}
