// openid-client as a device without a browser.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as client from 'openid-client'
import { browser } from './browser.mjs'

const demo = JSON.parse(readFileSync(process.argv[2]))
const { connect } = browser(demo)
const config = await client.discovery(new URL(demo.issuer), process.argv[3], undefined, client.None())
const begun = await client.initiateDeviceAuthorization(config, { scope: 'openid profile' })
assert.match(await connect(begun.verification_uri_complete, demo.users[0]), /is connected/)
// The first question may come at once; the library would wait for the interval.
const tokens = await client.pollDeviceAuthorizationGrant(config, { ...begun, interval: 0.01 })
const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub)
assert.equal(info.preferred_username, 'alice')
console.log('every step passed')
