// The official openai client asks grounded questions: `context` is a field that it does not know, and passes on. QIAO_URL names a
// cluster with the demo shop's catalogue and the index "shop" of it; ann has agreed to everything, and done a few things.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';

const baseURL = process.env.QIAO_URL + '/v1';
const of = (user) => new OpenAI({
  baseURL, apiKey: 'unused', maxRetries: 0, timeout: 120000, defaultHeaders: { 'X-Qiao-User': user },
});
const ann = of('ann'), bob = of('bob');
const model = (await ann.models.list()).data.find((one) => one.id.includes('mini')).id;
const ask = (content, context, more) => ({
  model, messages: [{ role: 'user', content }], temperature: 0, max_tokens: 40, context, ...more,
});

test('an answer names what it was grounded on, the newest first, in the language of the question', async () => {
  const answer = await ann.chat.completions.create(ask('我最近看过什么手机？', ['history']));
  assert.ok(answer.choices[0].message.content.length > 0);
  assert.deepEqual(answer.context.map((entry) => entry.id), ['phone-summit-2', 'phone-bamboo-3']);
  assert.deepEqual(answer.context.map((entry) => entry.n), [1, 2]);
  assert.equal(answer.context[0].title, '远山手机 2');
  assert.equal(typeof answer.context[0].used, 'boolean');
  const english = await ann.chat.completions.create(ask('What have I looked at?', ['history']));
  assert.equal(english.context[1].title, 'Bamboo phone 3');
  assert.ok(english.usage.prompt_tokens > 60);
});

test('the bundled model cites what it was told, and the answer says what it cites', async () => {
  const answer = await ann.chat.completions.create(ask('我最近做了什么？', ['history']));
  const text = answer.choices[0].message.content;
  assert.ok(answer.context.some((entry) => entry.used), text);
  for (const entry of answer.context) assert.equal(entry.used, text.includes(`[${entry.n}]`), text);
});

test('a search adds documents that fit the question, with prices', async () => {
  const answer = await bob.chat.completions.create(ask('How much is the Bamboo phone 5?', ['search:shop']));
  const first = answer.context[0];
  assert.equal(first.source, 'search:shop');
  assert.equal(first.id, 'phone-bamboo-5');
  assert.equal(first.title, 'Bamboo phone 5');
  assert.ok(answer.context.every((entry) => entry.source === 'search:shop' && entry.id));
  assert.ok(answer.context.length <= 4);
});

test('a stream says it in its last chunk', async () => {
  const stream = await ann.chat.completions.create(ask('远山手机 2 多少钱？', ['history', 'search:shop'], { stream: true }));
  let text = '', last = null, early = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    if (chunk.context && !chunk.choices[0].finish_reason) early++;
    last = chunk;
  }
  assert.equal(early, 0);
  assert.ok(text.length > 0);
  assert.ok(last.context.some((entry) => entry.source === 'history'));
  assert.ok(last.context.some((entry) => entry.source === 'search:shop'));
  const whole = await ann.chat.completions.create(ask('远山手机 2 多少钱？', ['history', 'search:shop']));
  assert.equal(whole.choices[0].message.content, text);
  assert.deepEqual(whole.context, last.context);
});

test('without consent the answer says so', async () => {
  const answer = await bob.chat.completions.create(ask('What have I looked at?', ['history']));
  assert.deepEqual(answer.context, [{ source: 'history', skipped: 'no consent' }]);
});

test('an index that there is not is named', async () => {
  await assert.rejects(ann.chat.completions.create(ask('hello', ['history', 'search:none'])), (error) => {
    assert.equal(error.status, 404);
    assert.equal(error.param, 'context[1]');
    assert.ok(error.message.includes("'none'"));
    return true;
  });
});
