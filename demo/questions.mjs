// The questions that the demo asks, each with the lemmas of which one must come out on top.
//
// `fresh`: the answer is not in the data file; a worker thread embeds and writes it while the demo runs.

export const questions = [
  { text: 'feeling very happy', expected: ['joy', 'enjoyment', 'happiness', 'delight'] },
  { text: 'water falling from the clouds', expected: ['rain', 'snow', 'shower'] },
  { text: 'a large body of salt water', expected: ['sea', 'ocean'] },
  { text: 'the star that warms the earth', expected: ['sun'] },
  { text: 'being afraid of something', expected: ['fear', 'panic', 'horror', 'alarm'] },
  { text: 'to prepare food on the stove', expected: ['cook', 'kitchen'] },
  { text: 'a drink made from grapes', expected: ['wine'], fresh: true },
]
