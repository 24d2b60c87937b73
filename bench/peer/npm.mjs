// node npm.mjs MODEL THREADS PROMPT BATCH STEPS: tokens per second of node-llama-cpp; batch 0 measures the prompt.
import {getLlama} from "node-llama-cpp";

const [model_path, ...numbers] = process.argv.slice(2);
const [threads, prompt, batch, steps] = numbers.map(Number);

const llama = await getLlama({gpu: false, build: "never", maxThreads: threads});
const model = await llama.loadModel({modelPath: model_path});
const sequences = Math.max(batch, 1);
const context = await model.createContext({
    contextSize: prompt + steps + 64, sequences, batchSize: 512, threads, flashAttention: true,
});

// Any ids do: what is computed costs the same whatever the text is.
const ids = (count, seed) => Array.from({length: count}, (_, i) => (i * 7919 + seed * 104729) % 7000);

async function read_prompt(sequence, seed) {
    await sequence.evaluateWithoutGeneratingNewTokens(ids(prompt, seed));
}

async function decode(sequence, seed) {
    let left = steps;
    for await (const token of sequence.evaluate(ids(1, seed), {temperature: 0})) {
        if (--left === 0) return token;
    }
}

const all = Array.from({length: sequences}, () => context.getSequence());
let start, tokens;
if (batch === 0) {
    await read_prompt(all[0], 1);
    await all[0].clearHistory();
    start = performance.now();
    await read_prompt(all[0], 2);
    tokens = prompt;
} else {
    await Promise.all(all.map(read_prompt));
    start = performance.now();
    await Promise.all(all.map(decode));
    tokens = steps * batch;
}
console.log(JSON.stringify({tokens_per_s: tokens * 1000 / (performance.now() - start)}));
process.exit(0);
