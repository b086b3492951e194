// oidc-provider, set up for the same work as Portcullis in the comparison: JWT access tokens,
// client_secret_basic, PKCE, refresh tokens that rotate. Everything is kept in memory.
// Takes its settings as JSON in PEER and answers {"ready": true} on stdout when it listens.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

import Memory from './memory.js';

const { port, certificate, key, redirectUri, clients } = JSON.parse(process.env.PEER);
const AUDIENCE = 'https://api.example.org';
const DAY = 24 * 3600;

const signingKeys = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};
const jwk = ([alg, { privateKey }]) => ({ ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: alg });

/** The tokens of a client are signed with one algorithm, or opaque if it has none. */
const algorithms = new Map(clients.map(({ id, alg }) => [id, alg]));

const resourceServer = (client) => {
  const alg = algorithms.get(client.clientId);
  const format = alg
    ? { accessTokenFormat: 'jwt', jwt: { sign: { alg, kid: alg } } }
    : { accessTokenFormat: 'opaque' };
  return { scope: 'api', audience: AUDIENCE, accessTokenTTL: 300, ...format };
};

const configuration = {
  adapter: Memory,
  clients: clients.map(({ id, secret, alg }) => ({
    client_id: id,
    client_secret: secret,
    token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
    response_types: ['code'],
    redirect_uris: [redirectUri],
    id_token_signed_response_alg: alg ?? 'ES256',
  })),
  jwks: { keys: Object.entries(signingKeys).map(jwk) },
  enabledJWA: { idTokenSigningAlgValues: ['ES256', 'EdDSA'] },
  scopes: ['openid'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  expiresWithSession: () => false,
  cookies: { keys: ['the sessions of a benchmark'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => AUDIENCE,
      useGrantedResource: () => true,
      getResourceServerInfo: (_, __, client) => resourceServer(client),
    },
  },
  ttl: {
    AccessToken: 300, ClientCredentials: 300, AuthorizationCode: 60, IdToken: 300, Interaction: 600,
    RefreshToken: DAY, Grant: DAY, Session: DAY,
  },
};

const provider = new Provider(`https://localhost:${port}`, configuration);
const respond = provider.callback();

/** Logs everybody in as the same person and gives every consent. */
async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: 'alice' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid');
  grant.addResourceScope(AUDIENCE, 'api');
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
const server = createServer(tls, (request, response) => {
  if (!request.url.startsWith('/interaction/')) return respond(request, response);
  return interact(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.keepAliveTimeout = 600_000;
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ ready: true })));
