'use strict';
// An independent implementation of the algorithm countersign-tree, written from docs/spec/vectors/signature/README.md with Node's own cryptography. It shares no code
// with Countersign, so that the two check each other.
const { createHash, createPrivateKey, createPublicKey, sign, verify } = require('crypto');

const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest();
const leafHash = (data) => sha256(Buffer.from([0]), data);
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);

// split is the largest power of two below n.
function split(n) {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

// RFC 9162, 2.1.1.
function treeHash(leaves) {
  if (leaves.length === 1) return leaves[0];
  const k = split(leaves.length);
  return nodeHash(treeHash(leaves.slice(0, k)), treeHash(leaves.slice(k)));
}

// RFC 9162, 2.1.3.1.
function path(index, leaves) {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return index < k
    ? [...path(index, leaves.slice(0, k)), treeHash(leaves.slice(k))]
    : [...path(index - k, leaves.slice(k)), treeHash(leaves.slice(0, k))];
}

function leaf(domain, nonce, message) {
  return leafHash(Buffer.concat([Buffer.from(domain, 'ascii'), Buffer.from([0]), nonce, sha256(message)]));
}

function rootBytes(size, root) {
  const n = Buffer.alloc(4);
  n.writeUInt32BE(size);
  return Buffer.concat([Buffer.from('countersign-tree\n', 'ascii'), n, root]);
}

function rawSign(key, message) {
  return key.asymmetricKeyType === 'ed25519' ? sign(null, message, key) : sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' });
}

function rawVerify(key, message, signature) {
  return key.asymmetricKeyType === 'ed25519'
    ? verify(null, message, key, signature)
    : verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

const algorithmByte = (key) => (key.asymmetricKeyType === 'ed25519' ? 1 : 2);

function wire(key, index, size, root, nonce, hashes, signature) {
  const head = Buffer.alloc(6);
  head[0] = 1;
  head[1] = algorithmByte(key);
  head.writeUInt16BE(index, 2);
  head.writeUInt16BE(size, 4);
  return Buffer.concat([head, root, nonce, ...hashes, signature]);
}

// signTree signs items {domain, nonce, message} under one root. fixed is a signature to use in place of a new one.
function signTree(privateKey, items, fixed) {
  const leaves = items.map((i) => leaf(i.domain, i.nonce, i.message));
  const root = treeHash(leaves);
  const signature = fixed || rawSign(privateKey, rootBytes(leaves.length, root));
  return {
    root,
    signature,
    wires: items.map((i, n) => wire(privateKey, n, leaves.length, root, i.nonce, path(n, leaves), signature)),
  };
}

// verifyTree climbs from the leaf: RFC 9162, 2.1.3.2.
function verifyTree(publicKey, domain, message, b) {
  if (b.length < 54 + 64 || b[0] !== 1 || b[1] !== algorithmByte(publicKey)) return false;
  const index = b.readUInt16BE(2);
  const size = b.readUInt16BE(4);
  if (size < 1 || size > 1024 || index >= size) return false;
  const root = b.subarray(6, 38);
  const signature = b.subarray(b.length - 64);
  const middle = b.subarray(54, b.length - 64);
  if (middle.length % 32 !== 0) return false;
  let fn = index;
  let sn = size - 1;
  let hash = leaf(domain, b.subarray(38, 54), message);
  for (let at = 0; at < middle.length; at += 32) {
    const p = middle.subarray(at, at + 32);
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(p, hash);
      while (fn % 2 === 0 && fn !== 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      hash = nodeHash(hash, p);
    }
    fn >>= 1;
    sn >>= 1;
  }
  return sn === 0 && hash.equals(root) && rawVerify(publicKey, rootBytes(size, root), signature);
}

module.exports = { signTree, verifyTree, rawSign, rawVerify, sha256, createPrivateKey, createPublicKey };
