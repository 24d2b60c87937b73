// The official openai client against a running cluster: QIAO_URL names it, QIAO_NODES how many nodes it has.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

const baseURL = process.env.QIAO_URL + '/v1';
const client = new OpenAI({ baseURL, apiKey: 'unused', maxRetries: 0, timeout: 300000 });
const question = [{ role: 'user', content: '你好，你是谁？' }];
const model = (await client.models.list()).data[0].id;
const greedy = { model, messages: question, temperature: 0, max_tokens: 40 };

const refused = async (parameters, status, code, words) => {
  await assert.rejects(client.chat.completions.create({ ...greedy, ...parameters }), (error) => {
    assert.equal(error.status, status, error.message);
    assert.equal(error.code, code, error.message);
    for (const word of words) assert.ok(error.message.includes(word), `'${word}' in '${error.message}'`);
    return true;
  });
};

const running = async () => {
  const nodes = (await (await fetch(process.env.QIAO_URL + '/admin/nodes')).json()).nodes;
  return nodes.reduce((sum, node) => sum + node.in_flight, 0);
};

test('a chat answers, with usage', async () => {
  const answer = await client.chat.completions.create(greedy);
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, model);
  assert.equal(answer.choices.length, 1);
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(answer.choices[0].message.content.length > 0);
  assert.ok(['stop', 'length'].includes(answer.choices[0].finish_reason));
  assert.ok(answer.usage.prompt_tokens > 0);
  assert.ok(answer.usage.completion_tokens > 0 && answer.usage.completion_tokens <= 40);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.equal(typeof answer.usage.prompt_tokens_details.cached_tokens, 'number');
});

test('models say what they do, in a list and one by one', async () => {
  const models = (await client.models.list()).data;
  for (const row of models) {
    assert.equal(row.object, 'model');
    assert.equal(typeof row.created, 'number');
    assert.equal(typeof row.owned_by, 'string');
    assert.ok(row.capabilities.length > 0);
    assert.deepEqual(await client.models.retrieve(row.id), row);
  }
  assert.deepEqual(models[0].capabilities, ['generate', 'embed']);
  assert.ok(models[0].dimensions > 0);
  await assert.rejects(client.models.retrieve('nobody'), { status: 404, code: 'model_not_found' });
});

test('embeddings come in the order of the texts, and are the same as numbers', async () => {
  const coded = await client.embeddings.create({ model, input: ['one', 'two'] }); // the client asks for base64
  const plain = await client.embeddings.create({ model, input: 'two', encoding_format: 'float' });
  assert.deepEqual(coded.data.map((row) => row.index), [0, 1]);
  assert.equal(coded.data[1].embedding.length, (await client.models.retrieve(model)).dimensions);
  for (const [i, number] of plain.data[0].embedding.entries()) assert.ok(Math.abs(number - coded.data[1].embedding[i]) < 1e-6);
  assert.ok(coded.usage.prompt_tokens >= 2);
});

test('a stream is the same text, in whole characters, and ends with usage', async () => {
  const whole = await client.chat.completions.create(greedy);
  const stream = await client.chat.completions.create({
    ...greedy, stream: true, stream_options: { include_usage: true },
  });
  let text = '', finish = null, usage = null, roles = 0;
  for await (const chunk of stream) {
    assert.equal(chunk.object, 'chat.completion.chunk');
    if (chunk.usage) usage = chunk.usage;
    const choice = chunk.choices[0];
    if (!choice) continue;
    if (choice.delta.role) roles++;
    text += choice.delta.content ?? '';
    if (choice.finish_reason) finish = choice.finish_reason;
    assert.ok(!(choice.delta.content ?? '').includes('\uFFFD'));
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(finish, whole.choices[0].finish_reason);
  assert.equal(roles, 1);
  assert.equal(usage.total_tokens, whole.usage.total_tokens); // what was cached may differ
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('a seed gives the same answer, and greedy is greedy', async () => {
  const sampled = { ...greedy, temperature: 1.2, seed: 42 };
  const [one, two] = await Promise.all([
    client.chat.completions.create(sampled), client.chat.completions.create(sampled)]);
  assert.equal(one.choices[0].message.content, two.choices[0].message.content);
  const topless = await client.chat.completions.create({ ...greedy, temperature: 1, top_p: 0 });
  const plain = await client.chat.completions.create(greedy);
  assert.equal(topless.choices[0].message.content, plain.choices[0].message.content);
});

test('many at once answer as one alone', async () => {
  const alone = await client.chat.completions.create(greedy);
  const all = await Promise.all(Array.from({ length: 16 }, () => client.chat.completions.create(greedy)));
  for (const answer of all)
    assert.equal(answer.choices[0].message.content, alone.choices[0].message.content);
});

test('several choices are each what they would be alone', async () => {
  const sampled = { ...greedy, temperature: 2, seed: 42, messages: [{ role: 'user', content: 'Tell me a long story' }] };
  const one = await client.chat.completions.create(sampled);
  const four = await client.chat.completions.create({ ...sampled, n: 4 });
  assert.deepEqual(four.choices.map((choice) => choice.index), [0, 1, 2, 3]);
  assert.deepEqual(four.choices[0].message, one.choices[0].message);
  assert.ok(new Set(four.choices.map((choice) => choice.message.content)).size > 1);
  assert.equal(four.usage.prompt_tokens, one.usage.prompt_tokens);
  assert.ok(four.usage.completion_tokens > one.usage.completion_tokens);
  const texts = ['', '', '', ''];
  for await (const chunk of await client.chat.completions.create({ ...sampled, n: 4, stream: true }))
    for (const choice of chunk.choices) texts[choice.index] += choice.delta.content ?? '';
  assert.deepEqual(texts, four.choices.map((choice) => choice.message.content));
  await refused({ n: 9 }, 400, 'invalid_request', ['n']);
});

test('a prompt that came before is cached', async () => {
  const content = 'The same long beginning, said again and again. '.repeat(20) + Math.random();
  const ask = () => client.chat.completions.create({ ...greedy, max_tokens: 4, messages: [{ role: 'user', content }] });
  const answers = [];
  for (let i = 0; i < 3; i++) answers.push(await ask()); // on one of two nodes the second time at the latest
  const cached = answers.map((answer) => answer.usage.prompt_tokens_details.cached_tokens);
  assert.ok(cached[2] > 0 || cached[1] > 0, `${cached}`);
  assert.ok(cached[2] < answers[2].usage.prompt_tokens);
  for (const answer of answers) assert.equal(answer.choices[0].message.content, answers[0].choices[0].message.content);
});

test('a stop string ends the answer before itself', async () => {
  const whole = (await client.chat.completions.create(greedy)).choices[0].message.content;
  assert.ok(whole.length > 4);
  const stop = whole.slice(2, 4);
  const cut = await client.chat.completions.create({ ...greedy, stop: [stop] });
  assert.equal(cut.choices[0].message.content, whole.slice(0, whole.indexOf(stop)));
  assert.equal(cut.choices[0].finish_reason, 'stop');
});

test('completions take a prompt', async () => {
  const answer = await client.completions.create({ model, prompt: 'Hello', temperature: 0, max_tokens: 8 });
  assert.equal(answer.object, 'text_completion');
  assert.equal(typeof answer.choices[0].text, 'string');
  let text = '';
  for await (const chunk of await client.completions.create({
    model, prompt: 'Hello', temperature: 0, max_tokens: 8, stream: true }))
    text += chunk.choices[0]?.text ?? '';
  assert.equal(text, answer.choices[0].text);
});

test('an answer under an Idempotency-Key streams as any other, and is the same when it is asked for again', async () => {
  const headers = { 'Idempotency-Key': crypto.randomUUID() };
  const sampled = { model, messages: question, temperature: 1.5, max_tokens: 40, stream: true };
  const read = async () => {
    let text = '', ids = new Set();
    for await (const chunk of await client.chat.completions.create(sampled, { headers })) {
      text += chunk.choices[0]?.delta.content ?? '';
      ids.add(chunk.id);
    }
    return { text, ids };
  };
  const first = await read();
  assert.ok(first.text.length > 0);
  assert.equal(first.ids.size, 1);
  assert.deepEqual(await read(), first);
  await assert.rejects(client.chat.completions.create({ ...sampled, stream: false }, { headers }),
    (error) => error.status === 422 && error.code === 'idempotency_mismatch');
});

test('a cancelled stream frees its place', async () => {
  const controller = new AbortController();
  const stream = await client.chat.completions.create(
    { ...greedy, max_tokens: 500, messages: [{ role: 'user', content: 'Tell me a long story' }],
      logit_bias: {}, stream: true }, { signal: controller.signal });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) { controller.abort(); break; }
  }
  for (let i = 0; i < 3000 && (await running()) > 0; i++) await new Promise((done) => setTimeout(done, 20));
  assert.equal(await running(), 0);
});

test('a session remembers, belongs to its user, and can be deleted', async () => {
  const ask = (content, headers) => client.chat.completions.create(
    { ...greedy, session: 'test-session', messages: [{ role: 'user', content }] }, { headers });
  const alice = { 'X-Qiao-User': 'alice' };
  const first = await ask('我叫小明。', alice);
  const second = await ask('我叫什么名字？', alice);
  assert.ok(second.usage.prompt_tokens > first.usage.prompt_tokens + 5, 'the first turn is in the prompt');
  const url = process.env.QIAO_URL + '/v1/sessions/test-session';
  assert.equal((await fetch(url, { method: 'DELETE', headers: { 'X-Qiao-User': 'bob' } })).status, 404);
  assert.equal((await fetch(url, { method: 'DELETE', headers: alice })).status, 204);
  assert.equal((await fetch(url, { method: 'DELETE', headers: alice })).status, 404);
});

test('bad input is refused with what would be right', async () => {
  await refused({ model: 'no-such-model' }, 404, 'model_not_found', ['no-such-model']);
  await refused({ messages: [] }, 400, 'invalid_request', ['messages']);
  await refused({ messages: [{ role: 'user', content: 7 }] }, 400, 'invalid_request', ['messages[0].content']);
  await refused({ messages: [{ role: 'wizard', content: 'x' }] }, 400, 'invalid_request', ['messages[0].role', 'assistant']);
  await refused({ temperature: -1 }, 400, 'invalid_request', ['temperature']);
  await refused({ temperature: 'hot' }, 400, 'invalid_request', ['temperature']);
  await refused({ max_tokens: -5 }, 400, 'invalid_request', ['max_tokens']);
  await refused({ max_tokens: 1e300 }, 400, 'invalid_request', ['max_tokens']);
  await refused({ top_p: 2 }, 400, 'invalid_request', ['top_p']);
  await refused({ stop: Array.from({ length: 40 }, (_, i) => `s${i}`) }, 400, 'invalid_request', ['stop']);
  await refused({ tools: [{ type: 'function', function: { name: 'f' } }] }, 400, 'invalid_request', ['tools']);
  const long = Array.from({ length: 40000 }, (_, i) => `word${i}`).join(' ');
  await refused({ messages: [{ role: 'user', content: long }] }, 400, 'context_length_exceeded', ['tokens', 'context']);
});

test('raw bytes that are no request get the API\'s error', async () => {
  const post = async (body, type = 'application/json') => {
    const answer = await fetch(baseURL + '/chat/completions', { method: 'POST', body, headers: { 'Content-Type': type } });
    return { status: answer.status, error: (await answer.json()).error };
  };
  const invalid = new Uint8Array([...Buffer.from('{"model":"m","messages":[{"role":"user","content":"'), 0xff, 0xfe, ...Buffer.from('"}]}')]);
  for (const body of ['', '{', '[]', '"x"', '{"messages":', '{"a":1}{', '['.repeat(100000), invalid]) {
    const { status, error } = await post(body);
    assert.equal(status, 400);
    assert.equal(typeof error.message, 'string');
    assert.equal(error.code, 'invalid_request');
  }
  const wrong = await fetch(baseURL + '/chat/completions');
  assert.equal(wrong.status, 405);
  const lost = await fetch(baseURL + '/nowhere');
  assert.equal(lost.status, 404);
  assert.equal(typeof (await lost.json()).error.message, 'string');
});

test('a body of 100 MB is refused, and the neighbours do not notice', async () => {
  const neighbour = client.chat.completions.create(greedy);
  const { status, code } = await new Promise((done, failed) => {
    const { hostname, port } = new URL(process.env.QIAO_URL);
    import('node:net').then(({ connect }) => {
      const socket = connect(Number(port), hostname);
      let answer = '';
      socket.on('data', (bytes) => { answer += bytes; });
      socket.on('error', () => {});
      socket.on('close', () => {
        const body = answer.slice(answer.indexOf('\r\n\r\n') + 4);
        try { done({ status: Number(answer.split(' ')[1]), code: JSON.parse(body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1)).error.code }); }
        catch (error) { failed(new Error(`${error}: '${answer.slice(0, 300)}'`)); }
      });
      socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n');
      const piece = Buffer.alloc(1 << 16, 0x20);
      let sent = 0;
      const more = () => {
        while (sent < 104857600 && !socket.destroyed) { sent += piece.length; if (!socket.write(piece)) { socket.once('drain', more); return; } }
      };
      more();
    });
  });
  assert.equal(status, 413);
  assert.equal(code, 'request_too_large');
  assert.ok((await neighbour).choices[0].message.content.length > 0);
});
