// openid-client with a certificate in the place of a secret, and tokens bound to it.
// Arguments: demo.json, client id, directory with cert.pem and key.pem.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import https from 'node:https'
import * as client from 'openid-client'

const [facts, id, directory] = process.argv.slice(2)
const demo = JSON.parse(readFileSync(facts))
const read = (name) => readFileSync(`${directory}/${name}`)
const agent = new https.Agent({ cert: read('cert.pem'), key: read('key.pem'), ca: readFileSync(demo.ca_file) })

// fetch of Node shows no certificate, https does.
const customFetch = (url, options) => new Promise((resolve, reject) => {
  const { method, headers, body } = options
  const request = https.request(url, { agent, method, headers: Object.fromEntries(new Headers(headers)) }, (answer) => {
    const parts = []
    answer.on('data', (part) => parts.push(part))
    answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers })))
  })
  request.on('error', reject)
  request.end(body ? String(body) : undefined)
})

const issuer = new URL(demo.issuer)
const metadata = { client_id: id, use_mtls_endpoint_aliases: true }
const config = await client.discovery(issuer, id, metadata, client.TlsClientAuth())
config[client.customFetch] = customFetch
const tokens = await client.clientCredentialsGrant(config, { scope: 'profile' })
assert.equal(tokens.token_type, 'bearer')
const known = await client.tokenIntrospection(config, tokens.access_token)
assert.equal(known.active, true)
assert.equal(typeof known.cnf['x5t#S256'], 'string')
console.log('every step passed')
