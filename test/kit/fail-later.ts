/** For `bun --preload`: an error that nobody catches, when standard input ends. */
process.stdin.once('end', () => {
  if (process.env['TEST_FAIL'] === 'thrown') throw new Error('nobody caught this')
  void Promise.reject(new Error('nobody caught this'))
})
process.stdin.resume()
