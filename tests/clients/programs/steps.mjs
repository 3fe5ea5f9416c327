// Owns how a client program tells what it received: as steps.py does, which has the meaning of each part.
import { readFileSync } from 'node:fs'

const told = JSON.parse(readFileSync(new globalThis.URL('steps.json', import.meta.url), 'utf8'))

export const [URL, MODEL] = process.argv.slice(2)
export const KEY = 'any'
export const QUESTION = told.question
export const ORDER = told.order
export const MAX_TOKENS = told.max_tokens
export const LED_TOOL = told.led_tool
export const CITY_SCHEMA = told.city_schema

export const user = (content) => ({ role: 'user', content })

export async function step(name, run) {
  let line
  try {
    line = { step: name, result: await run() }
  } catch (error) {
    line = { step: name, error: String(error?.stack ?? error) }
  }
  console.log(JSON.stringify(line))
}

export function answer(text, calls = [], { end = null, tokens = null, ...more } = {}) {
  const objects = calls.map(([name, given]) => [name, typeof given === 'string' ? JSON.parse(given) : given])
  return { text: text ?? '', calls: objects, end, tokens, ...more }
}
