// Drives the `ollama` npm package: chat, generate, and the views of models.
import { Ollama } from 'ollama'
import { CITY_SCHEMA, LED_TOOL, MAX_TOKENS, MODEL, ORDER, QUESTION, URL, answer, step, user } from './steps.mjs'

const client = new Ollama({ host: URL })
const options = { temperature: 0, num_predict: MAX_TOKENS }
const callsOf = (message) => (message.tool_calls ?? []).map((c) => [c.function.name, c.function.arguments])

async function whole(content, fields = {}) {
  const reply = await client.chat({ model: MODEL, messages: [user(content)], options, ...fields })
  const tokens = [reply.prompt_eval_count, reply.eval_count]
  return answer(reply.message.content, callsOf(reply.message), { end: reply.done_reason, tokens })
}

async function streamed(content, fields = {}) {
  let text = ''
  let last
  const calls = []
  const stream = await client.chat({ model: MODEL, messages: [user(content)], options, stream: true, ...fields })
  for await (const part of stream) {
    text += part.message.content ?? ''
    calls.push(...callsOf(part.message))
    last = part
  }
  return answer(text, calls, { end: last.done_reason, tokens: [last.prompt_eval_count, last.eval_count] })
}

await step('chat', () => whole(QUESTION))
await step('chat_streamed', () => streamed(QUESTION))
await step('tool', () => whole(ORDER, { tools: [LED_TOOL] }))
await step('tool_streamed', () => streamed(ORDER, { tools: [LED_TOOL] }))
await step('schema', () => whole(QUESTION, { format: CITY_SCHEMA }))
await step('schema_streamed', () => streamed(QUESTION, { format: CITY_SCHEMA }))
await step('generate', async () => {
  const reply = await client.generate({ model: MODEL, prompt: QUESTION, options })
  return answer(reply.response, [], { end: reply.done_reason })
})
await step('generate_streamed', async () => {
  let text = ''
  let end
  for await (const part of await client.generate({ model: MODEL, prompt: QUESTION, options, stream: true })) {
    text += part.response
    end = part.done_reason
  }
  return answer(text, [], { end })
})
await step('models', async () => (await client.list()).models.map((model) => model.model))
await step('show', async () => {
  const shown = await client.show({ model: MODEL })
  return {
    capabilities: [...(shown.capabilities ?? [])].sort(),
    architecture: shown.model_info?.['general.architecture'],
    family: shown.details?.family,
  }
})
await step('running', async () => (await client.ps()).models.map((model) => model.model))
await step('unknown_model', async () => {
  try {
    await client.chat({ model: 'no-such-model', messages: [user(QUESTION)] })
  } catch (error) {
    return error.status_code
  }
  return null
})
