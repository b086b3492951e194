// A browser for the tests of openid-client: cookies, forms, login and consent.
import assert from 'node:assert/strict'

export function browser(demo) {
  const jar = new Map()

  async function browse(url, form) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const headers = { cookie }
    const init = { redirect: 'manual', headers }
    if (form) Object.assign(init, { method: 'POST', body: new URLSearchParams(form) })
    const answer = await fetch(new URL(url, demo.issuer), init)
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(';')
      const at = pair.indexOf('=')
      jar.set(pair.slice(0, at), pair.slice(at + 1))
    }
    return answer
  }

  const unescape = (text) => text.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(n))
    .replaceAll('&amp;', '&').replaceAll('&quot;', '"').replaceAll('&lt;', '<').replaceAll('&gt;', '>')
  function inputs(page) {
    const found = {}
    for (const [tag] of page.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(tag)?.[1]
      if (name) found[name] = unescape(/value="([^"]*)"/.exec(tag)?.[1] ?? '')
    }
    return found
  }

  /** Follows an authorization request to the redirect URI, logging `person` in where needed. */
  async function authorize(start, person) {
    let answer = await browse(start)
    if (/\/login\?/.test(answer.headers.get('location') ?? '')) {
      const page = await (await browse(answer.headers.get('location'))).text()
      assert.match(page, /class="login-submit"/)
      const { username, password } = person
      answer = await browse('/login', { ...inputs(page), username, password })
      assert.equal(answer.status, 303, await answer.clone().text())
      answer = await browse(answer.headers.get('location'))
    }
    if (answer.status === 200) {
      const page = await answer.text()
      assert.match(page, /class="consent-allow"/)
      answer = await browse('/oauth2/consent', { ...inputs(page), decision: 'allow' })
    }
    assert.equal(answer.status, 303, await answer.clone().text())
    return new URL(answer.headers.get('location'))
  }

  /** Connects a device: login, code, decision. */
  async function connect(uri, person) {
    let answer = await browse(uri)
    const login = await (await browse(answer.headers.get('location'))).text()
    const { username, password } = person
    answer = await browse('/login', { ...inputs(login), username, password })
    const entry = await (await browse(answer.headers.get('location'))).text()
    const question = await (await browse('/device', inputs(entry))).text()
    assert.match(question, /class="consent-allow"/)
    return (await browse('/device', { ...inputs(question), decision: 'allow' })).text()
  }

  return { browse, authorize, connect }
}
