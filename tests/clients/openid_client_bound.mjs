// openid-client against Portcullis with pushed requests, bound tokens, or both.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'
import { browser } from './browser.mjs'

const demo = JSON.parse(readFileSync(process.argv[2]))
const { web } = demo.clients
const issuer = new URL(demo.issuer)
const { authorize } = browser(demo)
const config = await client.discovery(issuer, web.client_id, undefined, client.None())

for (const variant of process.argv.slice(3).map((text) => text.split('+'))) {
  const options = {}
  if (variant.includes('dpop')) {
    options.DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair(variant.at(-1)))
  }
  const verifier = client.randomPKCECodeVerifier()
  const state = client.randomState()
  const params = {
    redirect_uri: web.redirect_uri, scope: 'openid profile email', state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  }
  const start = variant.includes('par')
    ? await client.buildAuthorizationUrlWithPAR(config, params, options)
    : client.buildAuthorizationUrl(config, params)
  assert.equal(start.searchParams.has('request_uri'), variant.includes('par'))

  const callback = await authorize(start, demo.users[2])
  const checks = { pkceCodeVerifier: verifier, expectedState: state, idTokenExpected: true }
  const tokens = await client.authorizationCodeGrant(config, callback, checks, undefined, options)
  assert.equal(tokens.token_type, options.DPoP ? 'dpop' : 'bearer')
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, options)
  assert.equal(info.preferred_username, 'carol')
  const me = new URL('/profile/me', issuer)
  const ask = (with_) => client.fetchProtectedResource(config, tokens.access_token, me, 'GET', null, undefined, with_)
  assert.equal((await (await ask(options)).json()).username, 'carol')
  if (options.DPoP) {
    await assert.rejects(ask({}))
    await assert.rejects(client.refreshTokenGrant(config, tokens.refresh_token))
  }
  const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, options)
  assert.equal(fresh.token_type, tokens.token_type)
  console.log(`${variant.join(' ')}: every step passed`)
}
