// One round of W12 by node-llama-cpp: reads what to do from standard input, writes what was measured.

import fs from "node:fs";
import path from "node:path";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const work = JSON.parse(fs.readFileSync(0, "utf8"));
const require = createRequire(path.join(work.folder, "package.json"));
const found = require.resolve.paths("node-llama-cpp").map((folder) => path.join(folder, "node-llama-cpp"));
const home = found.find((folder) => fs.existsSync(folder));
const {getLlama, LlamaChatSession, LlamaLogLevel} = await import(
    pathToFileURL(path.join(home, "dist", "index.js")).href
);

const llama = await getLlama({
    gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: work.threads
});
const model = await llama.loadModel({modelPath: work.model});
const context = await model.createContext({
    contextSize: work.sequence_cells, sequences: work.sequences, threads: work.threads
});

const sequences = Array.from({length: work.sequences}, () => context.getSequence());
const sessions = sequences.map(
    (contextSequence) => new LlamaChatSession({contextSequence, systemPrompt: work.system})
);
const begun = sessions[0].getChatHistory();

const first = new LlamaChatSession({contextSequence: sequences[0], systemPrompt: work.warm_up_system});
await first.prompt(work.warm_up, {maxTokens: 1, temperature: 0});

const evaluated = () => sequences.reduce((sum, one) => sum + one.tokenMeter.usedInputTokens, 0);
const answers = Array(work.questions.length);
const evaluatedBefore = evaluated();
const cpuBefore = process.cpuUsage();
const started = performance.now();
let next = 0;

// Each sequence answers one question at a time, each in a conversation of its own.
await Promise.all(sessions.map(async (session) => {
    while (next < work.questions.length) {
        const number = next++;
        session.setChatHistory(structuredClone(begun));
        answers[number] = await session.prompt(
            work.questions[number], {maxTokens: work.max_tokens, temperature: 0}
        );
    }
}));

const wall_s = (performance.now() - started) / 1000;
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write(JSON.stringify({
    wall_s,
    cpu_s: (cpu.user + cpu.system) / 1e6,
    evaluated_tokens: evaluated() - evaluatedBefore,
    generated_tokens: answers.reduce((sum, text) => sum + model.tokenize(text).length, 0),
    answers
}));
process.exit(0);
