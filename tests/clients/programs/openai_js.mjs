// Drives the `openai` npm package: chat, legacy completions, models, Responses.
import OpenAI from 'openai'
import { CITY_SCHEMA, KEY, LED_TOOL, MAX_TOKENS, MODEL, ORDER, QUESTION, URL, answer, step, user } from './steps.mjs'

const client = new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, maxRetries: 0 })
const CHAT = { model: MODEL, temperature: 0, max_tokens: MAX_TOKENS }
const RESPONSE = { model: MODEL, temperature: 0, max_output_tokens: MAX_TOKENS }
const LED_FUNCTION = { type: 'function', ...LED_TOOL.function }
const FORMAT = { type: 'json_schema', json_schema: { name: 'city', schema: CITY_SCHEMA } }
const TEXT = { format: { type: 'json_schema', name: 'city', schema: CITY_SCHEMA, strict: true } }
const callsOf = (message) => (message.tool_calls ?? []).map((c) => [c.function.name, c.function.arguments])

async function whole(content, fields = {}) {
  const reply = await client.chat.completions.create({ ...CHAT, messages: [user(content)], ...fields })
  const [{ message, finish_reason: end }] = reply.choices
  return answer(message.content, callsOf(message), {
    end,
    tokens: [reply.usage.prompt_tokens, reply.usage.completion_tokens],
  })
}

async function streamed(content, fields = {}) {
  const stream = client.chat.completions.stream({ ...CHAT, messages: [user(content)], ...fields })
  const [{ message, finish_reason: end }] = (await stream.finalChatCompletion()).choices
  return answer(message.content, callsOf(message), { end })
}

function ofResponse(response, more = {}) {
  const calls = response.output.filter((i) => i.type === 'function_call').map((i) => [i.name, i.arguments])
  const tokens = [response.usage.input_tokens, response.usage.output_tokens]
  return answer(response.output_text, calls, { end: response.status, tokens, ...more })
}

async function respond(input, fields = {}) {
  return ofResponse(await client.responses.create({ ...RESPONSE, input, ...fields }))
}

async function respondStreamed(input, fields = {}) {
  const stream = client.responses.stream({ ...RESPONSE, input, ...fields })
  const events = []
  for await (const event of stream) events.push(event)
  const numbers = events.map((event) => event.sequence_number)
  const deltas = events.filter((event) => event.type === 'response.output_text.delta')
  return ofResponse(await stream.finalResponse(), {
    sum_of_deltas: deltas.map((event) => event.delta).join(''),
    in_order: numbers.every((number, at) => at === 0 || number > numbers[at - 1]),
    events: [...new Set(events.map((event) => event.type))].sort(),
  })
}

const required = { tool_choice: 'required' }
await step('chat', () => whole(QUESTION))
await step('chat_streamed', () => streamed(QUESTION))
await step('tool', () => whole(ORDER, { tools: [LED_TOOL], ...required }))
await step('tool_streamed', () => streamed(ORDER, { tools: [LED_TOOL], ...required }))
await step('schema', () => whole(QUESTION, { response_format: FORMAT }))
await step('schema_streamed', () => streamed(QUESTION, { response_format: FORMAT }))
await step('models', async () => {
  const found = []
  for await (const model of client.models.list()) found.push(model.id)
  return found
})
await step('model', async () => (await client.models.retrieve(MODEL)).id)
await step('unknown_model', async () => {
  try {
    await client.chat.completions.create({ model: 'no-such-model.gguf', messages: [user(QUESTION)] })
  } catch (error) {
    return error.code
  }
  return null
})
await step('completion', async () => {
  const reply = await client.completions.create({ ...CHAT, prompt: 'Paris is the capital of', stop: '\n' })
  return answer(reply.choices[0].text, [], { end: reply.choices[0].finish_reason })
})
await step('completion_streamed', async () => {
  const fields = { prompt: 'Paris is the capital of', stop: '\n', stream: true }
  let text = ''
  let end
  for await (const part of await client.completions.create({ ...CHAT, ...fields })) {
    text += part.choices[0]?.text ?? ''
    end = part.choices[0]?.finish_reason ?? end
  }
  return answer(text, [], { end })
})
await step('response', () => respond(QUESTION))
await step('response_streamed', () => respondStreamed(QUESTION))
await step('response_tool', () => respond(ORDER, { tools: [LED_FUNCTION], ...required }))
await step('response_tool_streamed', () => respondStreamed(ORDER, { tools: [LED_FUNCTION], ...required }))
await step('response_schema', () => respond(QUESTION, { text: TEXT }))
await step('response_schema_streamed', () => respondStreamed(QUESTION, { text: TEXT }))
await step('response_continued', async () => {
  const first = await client.responses.create({ ...RESPONSE, input: ORDER, tools: [LED_FUNCTION], ...required })
  const call = first.output.find((item) => item.type === 'function_call')
  const result = { type: 'function_call_output', call_id: call.call_id, output: '{"ok": true}' }
  const second = await client.responses.create({
    ...RESPONSE,
    previous_response_id: first.id,
    input: [result],
    tools: [LED_FUNCTION],
  })
  const again = await client.responses.retrieve(second.id)
  const listed = []
  for await (const item of client.responses.inputItems.list(second.id)) listed.push(item.type)
  await client.responses.delete(second.id)
  const deleted = await client.responses.retrieve(second.id).then(
    () => false,
    (error) => error.status === 404,
  )
  return {
    previous: second.previous_response_id === first.id,
    status: second.status,
    grown: second.usage.input_tokens > first.usage.input_tokens,
    cached: second.usage.input_tokens_details.cached_tokens,
    of_first: first.usage.input_tokens,
    same: again.output_text === second.output_text,
    input_types: [...new Set(listed)].sort(),
    deleted,
  }
})
