// The certified relying party openid-client against Portcullis: discovery, code with PKCE,
// userinfo, refresh, introspection, client credentials, revocation, end of session.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'
import { browser } from './browser.mjs'

const demo = JSON.parse(readFileSync(process.argv[2]))
const { web, service } = demo.clients
const { browse, authorize } = browser(demo)

const issuer = new URL(demo.issuer)
const config = await client.discovery(issuer, web.client_id, undefined, client.None())
const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const start = client.buildAuthorizationUrl(config, {
  redirect_uri: web.redirect_uri, scope: 'openid profile email', state, nonce,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
})

const callback = await authorize(start, demo.users[1])
const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }
const tokens = await client.authorizationCodeGrant(config, callback, checks)
const claims = tokens.claims()
const info = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
assert.equal(info.preferred_username, 'bob')
assert.equal(info.email_verified, true)

const profile = await client.fetchProtectedResource(config, tokens.access_token, new URL('/profile/me', issuer), 'GET')
assert.equal((await profile.json()).username, 'bob')

const fresh = await client.refreshTokenGrant(config, tokens.refresh_token)
assert.notEqual(fresh.refresh_token, tokens.refresh_token)
await client.tokenRevocation(config, fresh.refresh_token)
await assert.rejects(client.refreshTokenGrant(config, fresh.refresh_token), { error: 'invalid_grant' })

const machine = await client.discovery(issuer, service.client_id, undefined, client.ClientSecretBasic(service.client_secret))
const own = await client.clientCredentialsGrant(machine, { scope: 'profile' })
const known = await client.tokenIntrospection(machine, own.access_token)
assert.equal(known.active, true)
assert.equal(known.client_id, service.client_id)

const leave = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: 'http://127.0.0.1:7010/', state: 'bye' })
let answer = await browse(leave)
assert.equal(answer.status, 303, await answer.text())
assert.equal(answer.headers.get('location'), 'http://127.0.0.1:7010/?state=bye')
answer = await browse(start)
assert.match(answer.headers.get('location'), /\/login\?/)
console.log('every step passed')
