// Answers "v1 from <replica>". On SIGTERM it finishes what it has begun: an update loses no request.
const { createServer } = require('node:http');
const { hostname } = require('node:os');

const server = createServer((request, response) => {
  response.end(`${process.env.VERSION} from ${hostname()}\n`);
});
server.listen(8000);
process.on('SIGTERM', () => server.close(() => process.exit(0)));
