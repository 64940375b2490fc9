// node wasm/run.mjs WASM_EXEC_JS VERIFY_WASM < [{"policy": "…", "receipt": "…"}]: prints what the WebAssembly says of each, as a list of texts.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [support, program] = process.argv.slice(2);
createRequire(import.meta.url)(support); // defines globalThis.Go
const go = new globalThis.Go();
const { instance } = await WebAssembly.instantiate(readFileSync(program), go.importObject);
go.run(instance);
const asked = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(asked.map(({ policy, receipt }) => globalThis.countersignVerify(policy, receipt))), () => process.exit(0));
