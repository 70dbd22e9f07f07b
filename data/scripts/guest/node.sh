#!/bin/sh
# a test suite: node's runner starts a process for each file; each starts threads and keeps garbage
D=/tmp/suite; mkdir -p $D/test; cd $D || exit
for n in $(seq 24); do cat > "test/t$n.test.js" <<JS
const test = require('node:test'), assert = require('node:assert'), zlib = require('node:zlib'), { Worker } = require('node:worker_threads'), { execFileSync } = require('node:child_process');
test('heap $n', () => { const keep = []; for (let i = 0; i < 60; i++) keep.push(Array.from({ length: 3000 }, (_, k) => ({ k, s: 'x' + k }))); assert.equal(keep.length, 60); });
test('gzip $n', () => { const b = Buffer.alloc(2 << 20, 'abc$n'); assert.equal(zlib.gunzipSync(zlib.gzipSync(b)).length, b.length); });
test('worker $n', async () => { await new Promise((ok, no) => new Worker('const b = new Uint8Array(1 << 24).fill(1); require("node:worker_threads").parentPort.postMessage(b.length)', { eval: true }).on('message', ok).on('error', no)); });
test('child $n', () => { for (let i = 0; i < 3; i++) assert.match(execFileSync('sh', ['-c', 'ls / | wc -l']).toString(), /\d/); });
JS
done
timeout 250 node --test --test-concurrency=3 test/ > $D/log 2>&1; grep -E '^(# |ℹ )(tests|pass|fail)' $D/log
