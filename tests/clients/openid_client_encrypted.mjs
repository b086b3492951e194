// openid-client reads encrypted ID tokens and userinfo. It registers its client itself, with the
// operator's token, because the key is made here.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'
import { browser } from './browser.mjs'

const demo = JSON.parse(readFileSync(process.argv[2]))
const issuer = new URL(demo.issuer)
const { operator } = demo.clients
const admin = await client.discovery(issuer, operator.client_id, undefined, client.ClientSecretBasic(operator.client_secret))
const { access_token } = await client.clientCredentialsGrant(admin, { scope: 'admin' })

for (const [alg, enc] of [['ECDH-ES', 'A256GCM'], ['RSA-OAEP-256', 'A128CBC-HS256'], ['ECDH-ES+A256KW', 'A128CBC-HS256']]) {
  const made = alg.startsWith('RSA')
    ? { name: 'RSA-OAEP', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) }
    : { name: 'ECDH', namedCurve: 'P-256' }
  const usages = alg.startsWith('RSA') ? ['encrypt', 'decrypt'] : ['deriveBits']
  const pair = await crypto.subtle.generateKey(made, true, usages)
  const { kty, crv, x, y, n, e } = await crypto.subtle.exportKey('jwk', pair.publicKey)
  const jwk = JSON.parse(JSON.stringify({ kty, crv, x, y, n, e, kid: 'own', use: 'enc', alg }))
  const answer = await fetch(new URL('/api/admin/v1/clients', issuer), {
    method: 'POST',
    headers: { authorization: `Bearer ${access_token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      name: 'Encrypted', token_endpoint_auth_method: 'client_secret_basic', first_party: true,
      redirect_uris: ['https://rp.example/cb'], scopes: ['openid', 'profile'],
      grant_types: ['authorization_code'], jwks: { keys: [jwk] },
      id_token_encrypted_response_alg: alg, id_token_encrypted_response_enc: enc,
      userinfo_signed_response_alg: 'EdDSA', userinfo_encrypted_response_alg: alg,
      userinfo_encrypted_response_enc: enc,
    }),
  })
  const { client: registered, client_secret } = await answer.json()
  assert.equal(answer.status, 201)
  const metadata = { userinfo_signed_response_alg: 'EdDSA', id_token_signed_response_alg: 'EdDSA' }
  const config = await client.discovery(issuer, registered.client_id, metadata, client.ClientSecretBasic(client_secret))
  client.enableDecryptingResponses(config, [enc], { key: pair.privateKey, alg, kid: 'own' })

  const verifier = client.randomPKCECodeVerifier()
  const start = client.buildAuthorizationUrl(config, {
    redirect_uri: 'https://rp.example/cb', scope: 'openid profile',
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const { authorize } = browser(demo)
  const callback = await authorize(start, demo.users[1])
  const tokens = await client.authorizationCodeGrant(config, callback, { pkceCodeVerifier: verifier, idTokenExpected: true })
  assert.equal(tokens.id_token.split('.').length, 5)
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
  assert.equal(info.preferred_username, 'bob')
  console.log(`${alg} ${enc}: every step passed`)
}
