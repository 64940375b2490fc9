// Runs the offline check on the page that holds it, when the person asks: the program is fetched then and not before. Every word that it shows stands on the
// page already, in the person's language.
(function () {
  'use strict'
  const root = document.getElementById('check')
  if (!root || typeof WebAssembly !== 'object' || typeof Go !== 'function') return
  const button = document.getElementById('check-run')
  const said = document.getElementById('check-said')
  const details = document.getElementById('check-details')
  const file = document.getElementById('check-file')
  let verify = null

  document.getElementById('check-tools').hidden = false

  function start() {
    if (!verify) {
      const go = new Go()
      verify = WebAssembly.instantiateStreaming(fetch(root.dataset.program), go.importObject).then(function (loaded) {
        go.run(loaded.instance)
        return function (policy, receipt) { return JSON.parse(globalThis.countersignVerify(policy, receipt)) }
      })
    }
    return verify
  }

  function text(address) {
    return fetch(address, { credentials: 'same-origin', cache: 'no-store' }).then(function (answer) {
      if (!answer.ok) throw new Error('status ' + answer.status)
      return answer.text()
    })
  }

  function outcome(result) {
    if (result.status === 'valid') return result.finding.cosigned ? 'holds' : 'promised'
    return result.status === 'invalid' ? 'fails' : 'unusable'
  }

  // say shows one of the outcomes that the page holds ready. What fails is an alert, so that nobody passes it over.
  function say(name) {
    for (const one of said.children) one.hidden = one.dataset.say !== name
    said.setAttribute('role', name === 'fails' || name === 'unusable' || name === 'stopped' ? 'alert' : 'status')
    said.dataset.outcome = name
  }

  function line(name, result) {
    const item = document.createElement('li')
    const parts = [name + ': ' + root.dataset['word' + outcome(result)]]
    if (result.finding && result.finding.promise) parts.push(result.finding.promise.origin + ', ' + root.dataset.wordline + ' ' + result.finding.promise.index)
    item.textContent = parts.join(' · ')
    if (result.message) {
      const why = document.createElement('p')
      why.lang = 'en'
      why.className = 'cs-small'
      why.textContent = result.message
      item.append(why)
    }
    details.append(item)
  }

  const order = ['holds', 'promised', 'unusable', 'fails']

  // run checks receipts, each a pair of a name and a promise of its text, and says the worst of what it found.
  function run(receipts) {
    button.disabled = true
    details.textContent = ''
    say('running')
    return Promise.all([start(), text(root.dataset.policy)].concat(receipts.map(function (r) { return r.text }))).then(function (got) {
      const check = got[0], policy = got[1]
      let worst = 'holds'
      receipts.forEach(function (r, i) {
        const result = check(policy, got[i + 2])
        line(r.name, result)
        if (order.indexOf(outcome(result)) > order.indexOf(worst)) worst = outcome(result)
      })
      say(worst)
    }).catch(function () { say('stopped') }).then(function () { button.disabled = false })
  }

  button.addEventListener('click', function () {
    run(Array.from(root.querySelectorAll('a[data-receipt]'), function (a) { return { name: a.dataset.receipt, text: text(a.href) } }))
  })
  file.addEventListener('change', function () {
    if (file.files.length === 1) run([{ name: file.files[0].name, text: file.files[0].text() }])
  })
})()
