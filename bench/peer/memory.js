// The adapter of oidc-provider that does least: maps without a bound, nothing ever swept. The one
// that comes with it keeps the last thousand entries, and forgets codes that wait for their turn.

const stores = new Map();
const grants = new Map();
const sessions = new Map();

export default class Memory {
  constructor(name) {
    if (!stores.has(name)) stores.set(name, new Map());
    this.name = name;
    this.store = stores.get(name);
  }

  async upsert(id, payload) {
    this.store.set(id, payload);
    if (this.name === 'Session') sessions.set(payload.uid, id);
    const { grantId } = payload;
    if (!grantId || this.name === 'Grant') return;
    if (!grants.has(grantId)) grants.set(grantId, []);
    grants.get(grantId).push([this.store, id]);
  }

  async find(id) {
    return this.store.get(id);
  }

  async findByUid(uid) {
    return this.find(sessions.get(uid));
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    this.store.get(id).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.store.delete(id);
  }

  async revokeByGrantId(grantId) {
    for (const [store, id] of grants.get(grantId) ?? []) store.delete(id);
    grants.delete(grantId);
  }
}
