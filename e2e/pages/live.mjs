// Walks a running portal as its people do: `node live.mjs PORTAL PERSON CASECODE SCREENSHOTS`. Once at desk width and once on a phone without scripts: in by personal
// code, the list of uses and one use, a consent given and withdrawn with its own login each, one's own data from a register; then in by a case code. Fails on anything
// that is not as it should be, on any violation that axe finds, and on anything that does not load.
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const [portal, person, code, folder] = process.argv.slice(2)
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const standards = { runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] } }
const findings = []
let looks = 0

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
await mkdir(folder, { recursive: true })

await walk('desk', { viewport: { width: 1280, height: 900 } })
await walk('phone', { viewport: { width: 320, height: 700 }, javaScriptEnabled: false })
await browser.close()
for (const f of findings) console.log(f)
console.log(`${looks} pages looked at, ${findings.length} findings`)
process.exit(findings.length === 0 && looks > 0 ? 0 : 1)

async function walk(name, how) {
  const context = await browser.newContext({ locale: 'en-GB', reducedMotion: 'reduce', ...how })
  const page = await context.newPage()
  const find = (what) => findings.push(`${name}, ${new URL(page.url()).pathname.split('/')[1]}: ${what}`)
  let meant = 0 // a refusal that is to come
  page.on('pageerror', (e) => find(`script error: ${e.message}`))
  page.on('response', (r) => { if (r.status() >= 400 && r.status() !== meant && r.url().startsWith(portal)) find(`${r.status()} for ${new URL(r.url()).pathname.split('/')[1]}`) })

  const look = async (what, wants) => {
    looks++
    const text = await page.evaluate(() => document.body.innerText)
    for (const w of [].concat(wants)) if (!text.includes(w)) find(`${what} lacks “${w}”`)
    const wide = await page.evaluate(() => document.documentElement.scrollWidth)
    if (wide > how.viewport.width) find(`${what} scrolls sideways: ${wide} px`)
    if (how.javaScriptEnabled !== false) {
      await page.evaluate(axe).catch(() => find(`${what}: axe is stopped`))
      const result = await page.evaluate((rules) => globalThis.axe.run(document, { ...rules, resultTypes: ['violations'] }), standards)
      for (const v of result.violations) find(`${what}: ${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 160)}`)
    }
    if (page.url().includes(person) || page.url().includes(code)) find(`${what} has a person in its address`)
    await page.screenshot({ path: `${folder}/live-${what}-${name}.jpg`, type: 'jpeg', quality: 80, fullPage: true })
  }
  const press = (selector, more) => Promise.all([page.waitForEvent('load'), page.locator(selector, more).first().click()])
  const type = async (text) => {
    await page.fill('#subject', text)
    await press('form:has(#subject) button')
  }

  await page.goto(portal)
  await look('login', ['Sign in', 'Use a case code'])
  await press('button[name=issuer]')
  await type(person)
  await look('uses', ['Who used my data', 'You, in this portal'])
  await press('.cs-item h3 a')
  await look('use', 'Who asked')

  // A consent: exactly what would leave, no without a tick, a login of its own with the same code, and away again.
  await page.goto(`${portal}/consents`)
  await look('consents', 'Waiting for your answer')
  await press('.cs-card--waiting a')
  await look('consent', ['Exactly these data would leave', 'Give consent'])
  meant = 422
  await press('button[value=give]')
  meant = 0
  await look('consent-unsure', 'There is a problem')
  await page.check('#sure')
  await press('button[value=give]')
  await look('consent-sign', 'Confirm your consent')
  const mine = (await page.textContent('.cs-code')).trim()
  await press('form[action$="/sign"] button')
  if (!(await page.textContent('body')).includes(mine)) find(`the login service does not show the code ${mine}`)
  await type(person)
  await look('consent-given', ['You have given your consent', 'Withdraw this consent'])
  await press('form[action$="/end"] button')
  await type(person)
  await look('consent-withdrawn', ['You have withdrawn your consent', 'Withdrawn by you'])

  // One's own data: asked by a form, shown, and on the list afterwards.
  await page.goto(`${portal}/held`)
  await look('held', ['What is held about me', 'Show my data'])
  await press('form[action^="/held/"] button')
  await look('own', ['You see this once', person])
  await page.goto(`${portal}/uses`)
  await look('uses-after', 'Because you asked to see your own data')
  await press('.cs-header form button')
  await look('out', 'Sign in')

  // By the code on a letter.
  await press('button[name=issuer] >> nth=1')
  await type(code.toLowerCase().replaceAll('-', ' '))
  await look('uses-code', 'You, in this portal')
  await press('.cs-header form button')
  await context.close()
}
