// node-quickbooks, unmodified, goes through its main calls; only base addresses are set.
'use strict'

const assert = require('node:assert/strict')
const { promisify } = require('node:util')
const QuickBooks = require('node-quickbooks')

const base = process.env.SIMULATOR_URL
const realm = '9341450000000003'

QuickBooks.V3_ENDPOINT_BASE_URL = `${base}/v3/company/`
QuickBooks.TOKEN_URL = `${base}/oauth2/v1/tokens/bearer`
QuickBooks.REVOKE_URL = `${base}/v2/oauth2/tokens/revoke`
QuickBooks.USER_INFO_URL = `${base}/v1/openid_connect/userinfo`

async function connected() {
  const answer = await fetch(`${base}/_simulator/grant`, {
    method: 'POST',
    body: JSON.stringify({ realm_id: realm }),
  })
  const granted = await answer.json()
  return new QuickBooks({
    consumerKey: granted.client_id,
    consumerSecret: granted.client_secret,
    token: granted.access_token,
    tokenSecret: false,
    realmId: realm,
    useSandbox: true,
    debug: false,
    minorversion: 75,
    oauthversion: '2.0',
    refreshToken: granted.refresh_token,
  })
}

// Their callbacks as promises: `ask(qbo, 'createCustomer', {...})`.
const ask = (qbo, name, ...values) => promisify(qbo[name].bind(qbo))(...values)

const unique = (word) => `${word} ${Math.random().toString(36).slice(2, 10)}`

const journeys = {
  async 'tokens are refreshed, used and revoked'() {
    const qbo = await connected()
    const before = qbo.token
    const answer = await ask(qbo, 'refreshAccessToken')
    assert.equal(answer.token_type, 'bearer')
    assert.notEqual(qbo.token, before)
    const info = await ask(qbo, 'getUserInfo')
    assert.equal(info.email, 'owner@example.com')
    const { refreshToken } = qbo
    await ask(qbo, 'revokeAccess', true)
    Object.assign(qbo, { refreshToken, realmId: realm })
    await assert.rejects(ask(qbo, 'refreshAccessToken'), (error) => error.response.status === 400)
  },

  async 'customers are made, read, changed and made inactive'() {
    const qbo = await connected()
    const name = unique('Customer')
    const made = await ask(qbo, 'createCustomer', { DisplayName: name })
    assert.equal(made.SyncToken, '0')
    const read = await ask(qbo, 'getCustomer', made.Id)
    assert.equal(read.DisplayName, name)
    const sparse = { Id: made.Id, SyncToken: '0', sparse: true, Notes: 'Side door' }
    const changed = await ask(qbo, 'updateCustomer', sparse)
    assert.deepEqual([changed.SyncToken, changed.Notes, changed.DisplayName], ['1', 'Side door', name])
    const off = { Id: made.Id, SyncToken: '1', sparse: true, Active: false }
    assert.equal((await ask(qbo, 'updateCustomer', off)).DisplayName, `${name} (deleted)`)
    const found = await ask(qbo, 'findCustomers', { DisplayName: 'Amy\'s Bird Sanctuary' })
    assert.equal(found.QueryResponse.Customer[0].Id, '1')
  },

  async 'a request id is an idempotency key'() {
    const qbo = await connected()
    const requestId = unique('r').replace(' ', '-')
    const customer = () => ({ DisplayName: 'Twice Told', requestId })
    const first = await ask(qbo, 'createCustomer', customer())
    const second = await ask(qbo, 'createCustomer', customer())
    assert.equal(first.Id, second.Id)
  },

  async 'faults arrive as faults'() {
    const qbo = await connected()
    await assert.rejects(ask(qbo, 'createCustomer', { DisplayName: 'Cool Cars' }), (error) => {
      const [told] = error.response.data.Fault.Error
      return told.code === '6240' && told.Detail.endsWith('Id=3')
    })
    const codeOf = (error) => error.response.data.Fault.Error[0].code
    await assert.rejects(ask(qbo, 'getInvoice', 999999), (error) => codeOf(error) === '610')
  },

  async 'an invoice is paid, then both are undone'() {
    const qbo = await connected()
    const line = (amount) => ({
      Amount: amount,
      DetailType: 'SalesItemLineDetail',
      SalesItemLineDetail: { ItemRef: { value: '1' }, Qty: 2, UnitPrice: amount / 2 },
    })
    const invoice = await ask(qbo, 'createInvoice', { Line: [line(80)], CustomerRef: { value: '2' } })
    assert.deepEqual([invoice.TotalAmt, invoice.Balance], [80, 80])
    const payment = await ask(qbo, 'createPayment', {
      TotalAmt: 80,
      CustomerRef: { value: '2' },
      Line: [{ Amount: 80, LinkedTxn: [{ TxnId: invoice.Id, TxnType: 'Invoice' }] }],
    })
    assert.equal(payment.UnappliedAmt, 0)
    assert.equal((await ask(qbo, 'getInvoice', invoice.Id)).Balance, 0)
    const voided = await ask(qbo, 'voidPayment', { Id: payment.Id, SyncToken: '0', sparse: true })
    assert.equal(voided.PrivateNote, 'Voided')
    assert.equal((await ask(qbo, 'deletePayment', payment.Id)).Payment.status, 'Deleted')
    const sent = await ask(qbo, 'sendInvoicePdf', invoice.Id, 'somebody@example.com')
    assert.equal(sent.EmailStatus, 'EmailSent')
    const pdf = await ask(qbo, 'getInvoicePdf', invoice.Id)
    assert.equal(Buffer.from(pdf).subarray(0, 5).toString(), '%PDF-')
    const { SyncToken } = await ask(qbo, 'getInvoice', invoice.Id)
    const emptied = await ask(qbo, 'voidInvoice', { Id: invoice.Id, SyncToken })
    assert.equal((emptied.Invoice || emptied).TotalAmt, 0)
    assert.equal((await ask(qbo, 'deleteInvoice', invoice.Id)).Invoice.status, 'Deleted')
  },

  async 'items, accounts and vendors'() {
    const qbo = await connected()
    const item = await ask(qbo, 'createItem', {
      Name: unique('Item'),
      Type: 'Service',
      IncomeAccountRef: { value: '1' },
      UnitPrice: 75,
    })
    assert.equal(item.IncomeAccountRef.name, 'Services')
    item.UnitPrice = 80
    assert.equal((await ask(qbo, 'updateItem', item)).UnitPrice, 80)
    const travel = await ask(qbo, 'findAccounts', { Name: 'Travel' })
    assert.equal(travel.QueryResponse.Account[0].AccountType, 'Expense')
    const vendor = await ask(qbo, 'createVendor', { DisplayName: unique('Vendor') })
    assert.equal((await ask(qbo, 'getVendor', vendor.Id)).Active, true)
  },

  async 'batches answer item by item'() {
    const qbo = await connected()
    const items = Array.from({ length: 25 }, (_, index) => ({
      bId: String(index),
      operation: 'create',
      Attachable: { Note: `Note ${index}`, Tag: 'Journey' },
    }))
    const { BatchItemResponse } = await ask(qbo, 'batch', items)
    assert.deepEqual(BatchItemResponse.map((each) => each.bId), items.map((each) => each.bId))
    const found = await ask(qbo, 'findAttachables', { Tag: 'Journey' })
    assert.equal(found.QueryResponse.Attachable.length, 25)
    for (const each of found.QueryResponse.Attachable) await ask(qbo, 'deleteAttachable', each)
    const gone = await ask(qbo, 'findAttachables', { Tag: 'Journey' })
    assert.deepEqual(gone.QueryResponse, {})
  },

  async 'changes are told, and counted'() {
    const qbo = await connected()
    const since = new Date(Date.now() - 60000)
    const customer = await ask(qbo, 'createCustomer', { DisplayName: unique('Changed') })
    const told = await ask(qbo, 'changeDataCapture', ['Customer', 'Term'], since)
    const [customers] = told.CDCResponse[0].QueryResponse
    assert.ok(customers.Customer.some((each) => each.Id === customer.Id))
    const counted = await ask(qbo, 'findCustomers', { count: true })
    assert.ok(counted.QueryResponse.totalCount > 29)
    const fetched = await ask(qbo, 'findCustomers', { fetchAll: true, limit: 10 })
    assert.equal(fetched.QueryResponse.Customer.length, counted.QueryResponse.totalCount)
  },

  async 'company, preferences and every list'() {
    const qbo = await connected()
    assert.equal((await ask(qbo, 'getCompanyInfo', realm)).Country, 'US')
    assert.equal((await ask(qbo, 'getPreferences')).CurrencyPrefs.HomeCurrency.value, 'USD')
    const lists = [
      'Accounts', 'Attachables', 'Bills', 'BillPayments', 'Budgets', 'Classes', 'CompanyInfos',
      'CreditMemos', 'Customers', 'Departments', 'Employees', 'Estimates', 'ExchangeRates',
      'Invoices', 'Items', 'JournalEntries', 'Payments', 'PaymentMethods', 'Preferenceses',
      'Purchases', 'PurchaseOrders', 'RefundReceipts', 'SalesReceipts', 'TaxAgencies', 'TaxCodes',
      'TaxRates', 'Terms', 'TimeActivities', 'Vendors', 'VendorCredits',
    ]
    for (const list of lists) {
      const found = await ask(qbo, `find${list}`)
      assert.equal(typeof found.QueryResponse, 'object', list)
    }
    assert.equal((await ask(qbo, 'reportBalanceSheet')).Header.ReportName, 'BalanceSheet')
  },
}

async function main() {
  let failed = 0
  for (const [name, journey] of Object.entries(journeys)) {
    try {
      await journey()
      console.log(`ok   ${name}`)
    } catch (error) {
      failed += 1
      console.log(`FAIL ${name}`)
      console.log(error instanceof Error ? error.stack : JSON.stringify(error, null, 1))
    }
  }
  process.exitCode = failed ? 1 : 0
}

main()
