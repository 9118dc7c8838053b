// What a user fills into config.js, the simulator's addresses, and the two lists (build/*.txt) that
// the tests read and the package on npm leaves out: the names of its own find… and report… functions.
const fs = require('fs')
const url = process.env.SIMULATOR_URL
const home = process.env.SUITE
const config = require(home + '/config')
const QuickBooks = require(home)
Object.assign(config, JSON.parse(process.env.SIMULATOR_CONFIG))
QuickBooks.V3_ENDPOINT_BASE_URL = url + '/v3/company/'
QuickBooks.TOKEN_URL = url + '/oauth2/v1/tokens/bearer'
QuickBooks.REVOKE_URL = url + '/v2/oauth2/tokens/revoke'
const proto = QuickBooks.prototype
const names = Object.keys(proto)
const singular = (many) => [many, many.slice(0, -1), many.slice(0, -2), many.slice(0, -3) + 'y']
  .find((one) => proto.pluralize(proto.capitalize(one)) === many)
const finds = names.filter((name) => /^find[A-Z]/.test(name)).map((name) => singular(name.slice(4)))
const reports = names.filter((name) => /^report[A-Z]/.test(name)).map((name) => name.slice(6))
fs.mkdirSync('build', { recursive: true })
const uncapitalized = finds.filter(Boolean).map((name) => name[0].toLowerCase() + name.slice(1))
fs.writeFileSync('build/query.txt', uncapitalized.join('\n'))
fs.writeFileSync('build/report.txt', reports.join('\n') + '\n')
