// Walks every page of a gallery in a real browser: `node walk.mjs URL SCREENSHOTS`. Fails on any violation of WCAG 2.2 AA that axe finds, on a
// page that scrolls sideways at 320 px, on anything that the content security policy stops, on anything that does not load or comes from
// elsewhere, and on a first view over its weight. Prints each finding, then a line of figures.
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const [base, folder] = process.argv.slice(2)
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const names = (await (await fetch(`${base}/pages.txt`)).text()).trim().split('\n')
const standards = { runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] } }
const contrast = { runOnly: { type: 'rule', values: ['color-contrast'] } }
const kind = (name) => name.split('-')[0]
const firsts = names.filter((name, i) => names.findIndex((n) => kind(n) === kind(name)) === i)
const desk = 1280, phone = 320
const firstViewBytes = 150_000

// Each walk visits every page and looks at it in each of its views. On a phone everything that unfolds is unfolded first. Walks that are
// brief judge and picture one state of each page, and only look at the others.
const light = { scheme: 'light', rules: standards }
const walks = [
  { lang: 'en', script: true, views: [{ width: desk, ...light }, { width: desk, scheme: 'dark', rules: contrast }, { width: phone, ...light }] },
  { lang: 'en', script: false, views: [{ width: desk, scheme: 'light' }, { width: phone, scheme: 'light' }] },
  { lang: 'az', script: true, brief: true, views: [{ width: phone, ...light }] },
  { lang: 'ru', script: true, brief: true, views: [{ width: phone, scheme: 'dark', rules: standards }] },
]

const findings = []
let visits = 0, checks = 0

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
})
await mkdir(folder, { recursive: true })
// The walks are cut into stretches of equal length, so that no browser is left with the longest.
const stretch = 12
const queue = walks.flatMap((walk) => Array.from({ length: Math.ceil(names.length / stretch) },
  (_, i) => ({ ...walk, names: names.slice(i * stretch, (i + 1) * stretch) })))
await Promise.all(Array.from({ length: 3 }, async () => {
  for (let walk = queue.shift(); walk; walk = queue.shift()) await go(walk)
}))
await weigh()
await flow()
await check()
await browser.close()

for (const f of findings) console.log(f)
console.log(`${names.length} pages, ${visits} visits, ${checks} checks with axe, ${findings.length} findings`)
process.exit(findings.length === 0 && visits === names.length * walks.length ? 0 : 1)

async function go(walk) {
  const context = await browser.newContext({ javaScriptEnabled: walk.script, reducedMotion: 'reduce' })
  const page = await context.newPage()
  let name = '', label = ''
  const find = (what) => findings.push(`${name} (${label}): ${what}`)
  watch(page, find)
  for (name of walk.names) {
    label = `${walk.lang} ${walk.script ? 'with' : 'without'} scripts`
    await page.goto(`${base}/${walk.lang}/${name}.html`)
    visits++
    const closely = walk.script && (!walk.brief || firsts.includes(name))
    if (closely) await page.evaluate(axe)
    for (const view of walk.views) {
      label = `${walk.lang} ${view.width}px ${view.scheme} ${walk.script ? 'with' : 'without'} scripts`
      await page.setViewportSize({ width: view.width, height: 900 })
      await page.emulateMedia({ colorScheme: view.scheme, reducedMotion: 'reduce' })
      if (view.width === phone) await unfold(page)
      await look(page, walk.lang, view.width, find)
      if (!closely) continue
      await judge(page, view.rules, find)
      await page.screenshot({ path: `${folder}/${name}-${walk.lang}-${view.width}-${view.scheme}.jpg`, type: 'jpeg', quality: 80, fullPage: true })
    }
  }
  await context.close()
}

async function judge(page, rules, find) {
  const result = await page.evaluate((rules) => globalThis.axe.run(document, { ...rules, resultTypes: ['violations'] }), rules)
  checks++
  for (const v of result.violations) {
    for (const n of v.nodes) find(`${v.id}: ${v.help}: ${n.html.slice(0, 200)} ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ''}`)
  }
}

function watch(page, find) {
  page.on('console', (m) => { if (m.type() === 'error' || m.type() === 'warning') find(`console: ${m.text()}`) })
  page.on('pageerror', (e) => find(`script error: ${e.message}`))
  page.on('response', (r) => { if (r.status() >= 400) find(`${r.status()} for ${r.url()}`) })
  page.on('requestfailed', (r) => { // going on to the next page aborts an icon that is still on its way
    if (r.failure()?.errorText !== 'net::ERR_ABORTED') find(`${r.url()} did not load: ${r.failure()?.errorText}`)
  })
  page.on('request', (r) => { if (!r.url().startsWith(base)) find(`loads from elsewhere: ${r.url()}`) })
}

function unfold(page) {
  return page.evaluate(() => { for (const d of document.querySelectorAll('details')) d.open = true })
}

// look checks what axe does not: sideways scrolling, the page's language, one main heading, messages that were shown by their id.
async function look(page, lang, width, find) {
  const seen = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth, lang: document.documentElement.lang, headings: document.querySelectorAll('h1').length,
    text: document.body.innerText, title: document.title, ids: [...document.querySelectorAll('[id]')].map((e) => e.id),
    small: [...document.querySelectorAll('a, button, input, select, summary')].filter((e) => {
      const b = e.getBoundingClientRect()
      return b.width > 0 && (b.right > document.documentElement.clientWidth + 1 && !e.closest('.cs-scroll'))
    }).length,
  }))
  if (seen.wide > width) find(`scrolls sideways: ${seen.wide} px wide`)
  if (seen.small > 0) find(`${seen.small} controls stand beyond the right edge`)
  if (seen.lang !== lang) find(`says that its language is ${seen.lang}`)
  if (seen.headings !== 1) find(`has ${seen.headings} main headings`)
  const twice = seen.ids.find((id, i) => seen.ids.indexOf(id) !== i)
  if (twice) find(`uses the id ${twice} twice`)
  const raw = `${seen.title}\n${seen.text}`.match(/\b[a-z]+(\.[a-z-]+){1,3}(?=\s|$)|<no value>|%!/m)
  if (raw && !/example|countersign/.test(raw[0]) && !/\.(txt|json|org)$/.test(raw[0])) find(`shows ${raw[0]}`)
}

// weigh adds up what a first view of the timeline brings down, before compression, in each language.
async function weigh() {
  for (const lang of ['en', 'az', 'ru']) {
    const context = await browser.newContext()
    const page = await context.newPage()
    const bodies = []
    page.on('response', (r) => bodies.push(r.body().then((b) => b.length)))
    await page.goto(`${base}/${lang}/timeline.html`)
    await page.evaluate(() => document.fonts.ready)
    await page.waitForLoadState('networkidle')
    const bytes = (await Promise.all(bodies)).reduce((a, b) => a + b, 0)
    console.log(`first view (${lang}): ${bytes} bytes before compression, in ${bodies.length} answers`)
    if (bytes > firstViewBytes) findings.push(`timeline (${lang}): a first view weighs ${bytes} bytes, over ${firstViewBytes}`)
    await context.close()
  }
}

// flow goes by keyboard alone, without scripts, from signing in to an objection.
async function flow() {
  const context = await browser.newContext({ javaScriptEnabled: false, viewport: { width: phone, height: 700 } })
  const page = await context.newPage()
  const press = async (text) => {
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press('Tab')
      const at = await page.evaluate(() => document.activeElement?.textContent?.trim() ?? '')
      if (at.includes(text)) {
        await Promise.all([page.waitForEvent('load'), page.keyboard.press('Enter')])
        return
      }
    }
    findings.push(`flow: “${text}” cannot be reached by keyboard on ${page.url()}`)
  }
  await page.goto(`${base}/en/login.html`)
  await press('Sign in with')
  await press('Municipality')
  await page.goto(`${base}/en/entry.html`)
  await press('Object to this use')
  await press('Send the objection')
  if (!page.url().endsWith('/en/object.html')) findings.push(`flow: ended on ${page.url()}`)
  await context.close()
}

// check has the browser itself check a proof that holds, one that was altered, and something that is none. The program comes when it is asked for, not before.
async function check() {
  const context = await browser.newContext({ reducedMotion: 'reduce' })
  const page = await context.newPage()
  let label = ''
  const find = (what) => findings.push(`check (${label}): ${what}`)
  watch(page, find)
  let programs = 0
  page.on('request', (r) => { if (r.url().endsWith('.wasm')) programs++ })
  const good = await (await fetch(`${base}/proof/receipt.json`)).text()
  const altered = JSON.parse(good)
  altered.statement = Buffer.from(altered.statement, 'base64').map((b, i) => (i === 20 ? b ^ 1 : b)).toString('base64')
  for (const width of [desk, phone]) {
    label = `${width}px`
    await page.setViewportSize({ width, height: 900 })
    programs = 0
    await page.goto(`${base}/en/check.html`)
    await page.evaluate(axe)
    if (programs !== 0) find('loads the program before anybody asked')
    const seen = async (outcome) => {
      try {
        await page.locator(`#check-said[data-outcome=${outcome}]`).waitFor({ timeout: 20_000 })
      } catch {
        find(`does not come to “${outcome}” but to “${await page.locator('#check-said').getAttribute('data-outcome')}”`)
      }
      await look(page, 'en', width, find)
      await judge(page, standards, find)
      await page.screenshot({ path: `${folder}/check-${outcome}-en-${width}.jpg`, type: 'jpeg', quality: 80, fullPage: true })
    }
    await page.click('#check-run')
    await seen('holds')
    await page.setInputFiles('#check-file', { name: 'saved.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(altered)) })
    await seen('fails')
    if (await page.locator('#check-said').getAttribute('role') !== 'alert') find('a failing proof is no alert')
    await page.setInputFiles('#check-file', { name: 'holiday.json', mimeType: 'application/json', buffer: Buffer.from('{}') })
    await seen('unusable')
    if (programs > 1) find(`loads the program ${programs} times`)
  }
  await context.close()
}
