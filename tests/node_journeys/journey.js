// intuit-oauth and quickbooks-node-promise from npm against the simulator; run by test_simulator_foreign.py.
const assert = require('node:assert')
const OAuthClient = require('intuit-oauth')
const promised = require('quickbooks-node-promise')

const url = process.env.SIMULATOR_URL
const realm = process.env.REALM
const redirectUri = 'http://localhost:8000/callback'
const app = { id: 'quickbooks-simulator', secret: 'quickbooks-simulator-secret' }

async function consent(address) {
  const page = await (await fetch(address)).text()
  const hidden = [...page.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)]
  const form = new URLSearchParams(hidden.map(([, name, value]) => [name, value]))
  form.set('realm_id', realm)
  form.set('action', 'connect')
  const answer = await fetch(`${url}/connect/oauth2`, { method: 'POST', body: form, redirect: 'manual' })
  return answer.headers.get('location')
}

async function signIn() {
  const client = new OAuthClient({
    clientId: app.id, clientSecret: app.secret, environment: 'sandbox', redirectUri
  })
  client.setAuthorizeURLs({
    authorizeEndpoint: `${url}/connect/oauth2`,
    tokenEndpoint: `${url}/oauth2/v1/tokens/bearer`,
    revokeEndpoint: `${url}/v2/oauth2/tokens/revoke`,
    userInfoEndpoint: `${url}/v1/openid_connect/userinfo`
  })
  const address = client.authorizeUri({ scope: [OAuthClient.scopes.Accounting], state: 'abc' })
  const back = await consent(address)
  const made = await client.createToken(back)
  assert.strictEqual(client.getToken().realmId, realm)
  assert.ok(made.getJson().access_token)
  await client.refresh()
  const info = await client.makeApiCall({ url: `${url}/v3/company/${realm}/companyinfo/${realm}` })
  const company = (info.json ?? JSON.parse(info.body)).CompanyInfo
  assert.ok(company.CompanyName.startsWith('Craig'))
  return client
}

async function keepBooks(token) {
  const { Quickbooks } = promised
  Quickbooks.V3_ENDPOINT_BASE_URL = `${url}/v3/company/`
  Quickbooks.TOKEN_URL = `${url}/oauth2/v1/tokens/bearer`
  const books = new Quickbooks({ autoRefresh: false, accessToken: token.access_token }, realm)
  const { Customer: ana } = await books.createCustomer({ DisplayName: 'Ana Rivera' })
  const line = {
    Amount: 100, DetailType: 'SalesItemLineDetail', SalesItemLineDetail: { ItemRef: { value: '1' } }
  }
  const { Invoice: made } = await books.createInvoice({ CustomerRef: { value: ana.Id }, Line: [line] })
  const { Invoice: edited } = await books.updateInvoice({
    Id: made.Id, SyncToken: made.SyncToken, sparse: true, PrivateNote: 'late'
  })
  assert.strictEqual(edited.SyncToken, '1')
  const link = { TxnId: made.Id, TxnType: 'Invoice' }
  await books.createPayment({
    CustomerRef: { value: ana.Id }, TotalAmt: 40, Line: [{ Amount: 40, LinkedTxn: [link] }]
  })
  const { QueryResponse: found } = await books.findInvoices({ Id: made.Id })
  assert.strictEqual(found.Invoice[0].Balance, 60)
  const report = await books.reportProfitAndLoss({ start_date: '2026-01-01', end_date: '2026-12-31' })
  assert.ok(report.Rows.Row.length > 0)
  const { Invoice: voided } = await books.voidInvoice(found.Invoice[0])
  assert.strictEqual(voided.TotalAmt, 0)
  const pdf = await books.getInvoicePdf(made.Id)
  assert.strictEqual(Buffer.from(pdf).subarray(0, 4).toString(), '%PDF')
  await assert.rejects(books.createCustomer({ DisplayName: 'Ana Rivera' }))
}

async function main() {
  const client = await signIn()
  await keepBooks(client.getToken())
  await client.revoke()
  await assert.rejects(client.refresh())
}

main().then(() => console.log('satisfied'), (error) => { console.error(error); process.exit(1) })
