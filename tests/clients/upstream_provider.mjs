// A provider of somebody else: oidc-provider, with a login form of its own. Takes its settings as
// JSON in PEER and says on stdout when it listens.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import Provider from 'oidc-provider'

const { port, certificate, redirectUri, people, secret } = JSON.parse(process.env.PEER)
const issuer = `https://127.0.0.1:${port}`

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'portcullis', client_secret: secret, redirect_uris: [redirectUri],
    grant_types: ['authorization_code'], response_types: ['code'],
  }],
  pkce: { required: () => true },
  cookies: { keys: ['a test'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['preferred_username'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  features: { devInteractions: { enabled: true } },
})
const pem = readFileSync(certificate)
createServer({ key: pem, cert: pem }, provider.callback()).listen(port, '127.0.0.1', () => {
  console.log('ready')
})
