// A client of the Model Context Protocol, written with its official SDK, with somebody at the browser.
// Arguments: address of the server, demo.json, and a client id or nothing to register by itself.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { browser } from './browser.mjs'

const [server, file, clientId] = process.argv.slice(2)
const demo = JSON.parse(readFileSync(file))
const { authorize } = browser(demo)

class Provider {
  redirectUrl = 'http://127.0.0.1:7011/callback'
  clientMetadata = {
    client_name: 'Assistant', redirect_uris: [this.redirectUrl], token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
  }
  known = clientId ? { client_id: clientId } : undefined
  clientInformation() { return this.known }
  saveClientInformation(known) { this.known = known }
  tokens() { return this.held }
  saveTokens(held) { this.held = held }
  saveCodeVerifier(verifier) { this.verifier = verifier }
  codeVerifier() { return this.verifier }
  redirectToAuthorization(url) { this.start = url }
}

const authProvider = new Provider()
const connect = async () => {
  const client = new Client({ name: 'assistant', version: '1.0.0' })
  const transport = new StreamableHTTPClientTransport(new URL(server), { authProvider })
  client.transportToFinish = transport
  await client.connect(transport).catch((error) => {
    if (!(error instanceof UnauthorizedError)) throw error
    client.stranger = true
  })
  return client
}

const stranger = await connect()
assert(stranger.stranger, 'the server let somebody in without a token')
assert.equal(authProvider.start.searchParams.get('resource'), server)
const callback = await authorize(authProvider.start, demo.users[2])
assert.equal(callback.searchParams.get('error'), null, callback.href)
await stranger.transportToFinish.finishAuth(callback.searchParams.get('code'))

const client = await connect()
const { tools } = await client.listTools()
const answer = await client.callTool({ name: 'whoami', arguments: {} })
await client.close()
console.log(JSON.stringify({
  client: authProvider.known.client_id, scope: authProvider.held.scope, tools: tools.map((tool) => tool.name),
  text: answer.content[0].text, token: authProvider.held.access_token,
}))
