'use strict';
// Signs and verifies HTTP messages with the npm package http-message-signatures, an implementation of RFC 9421 that shares no code with Countersign.
// Reads one JSON array of questions from standard input and writes the array of answers.
const { httpbis } = require('http-message-signatures');
const { randomBytes } = require('crypto');
const { signTree, verifyTree, rawSign, rawVerify, createPrivateKey, createPublicKey } = require('./tree.js');

const key = (make, type, base64) => make({ format: 'der', type, key: Buffer.from(base64, 'base64') });

async function answer(q) {
  if (q.op === 'sign') {
    const privateKey = key(createPrivateKey, 'pkcs8', q.private);
    const out = await httpbis.signMessage({
      key: {
        id: q.keyid,
        alg: q.alg,
        sign: async (base) => (q.alg === 'countersign-tree'
          ? signTree(privateKey, [
            { domain: q.domain, nonce: randomBytes(16), message: randomBytes(40) },
            { domain: q.domain, nonce: randomBytes(16), message: base },
            { domain: q.domain, nonce: randomBytes(16), message: randomBytes(40) },
          ]).wires[1]
          : rawSign(privateKey, base)),
      },
      name: q.label,
      fields: q.fields,
      params: q.params,
      paramValues: { created: new Date(q.created * 1000), expires: new Date(q.expires * 1000), nonce: q.nonce },
    }, q.message);
    return { headers: out.headers };
  }
  const publicKey = key(createPublicKey, 'spki', q.public);
  const valid = await httpbis.verifyMessage({
    all: true,
    tolerance: 1e10, // the vectors' time is fixed
    keyLookup: async (params) => ({
      id: params.keyid,
      algs: [q.alg],
      verify: async (base, signature) => (q.alg === 'countersign-tree'
        ? verifyTree(publicKey, q.domain, base, signature)
        : rawVerify(publicKey, base, signature)),
    }),
  }, q.message);
  return { valid: valid === true };
}

async function main() {
  let text = '';
  for await (const chunk of process.stdin) text += chunk;
  const answers = [];
  for (const q of JSON.parse(text)) {
    try {
      answers.push(await answer(q));
    } catch (e) {
      answers.push({ error: String(e.message || e) });
    }
  }
  process.stdout.write(JSON.stringify(answers));
}

main();
