// SPDX-License-Identifier: MIT
// The node clients redis and ioredis against a socket. Run by clients.t with socket, name of the client and protocol (0: its default); prints TAP.
'use strict';
const assert = require('assert');
const [path, name, wanted] = process.argv.slice(2);
const proto = Number(wanted);
let count = 0;
let failed = 0;

async function check(text, body) {
	count++;
	try {
		await body();
		console.log(`ok ${count} - ${text}`);
	} catch (error) {
		failed++;
		console.log(`not ok ${count} - ${text}`);
		console.log(String(error.stack || error).replace(/^/gm, '# '));
	}
}

// Resolves with what give() is called with; rejects when that takes too long.
function within(give) {
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(new Error('nothing came')), 120000);
		give((value) => { clearTimeout(timer); resolve(value); });
	});
}

async function withRedis() {
	const { createClient } = require('redis');
	const options = proto ? { RESP: proto } : {};
	const make = async (more) => {
		const c = createClient({ socket: { path }, ...options, ...more });
		c.on('error', (error) => console.log(`# ${error}`));
		await c.connect();
		return c;
	};
	const c = await make();
	await c.flushAll();
	await check('values', async () => {
		assert.strictEqual(await c.set('k', '\u00e4\0\r\n'), 'OK');
		assert.strictEqual(await c.get('k'), '\u00e4\0\r\n');
		assert.strictEqual(await c.get('none'), null);
		assert.strictEqual(await c.set('k', 'x', { NX: true }), null);
		assert.strictEqual(await c.set('t', 'x', { EX: 100 }), 'OK');
		assert.ok((await c.ttl('t')) > 10);
		assert.deepStrictEqual(await c.mGet(['k', 'none']), ['\u00e4\0\r\n', null]);
		assert.strictEqual(await c.incrBy('n', 5), 5);
		assert.strictEqual(await c.del(['k', 'none']), 1);
	});
	await check('an error rejects', () => assert.rejects(c.incr('t'), /not an integer/));
	await check('a pipeline of 1000 requests in one tick', async () => {
		const got = await Promise.all(Array.from({ length: 1000 }, (_, i) => c.set(`p${i}`, String(i)).then(() => c.get(`p${i}`))));
		assert.deepStrictEqual(got, Array.from({ length: 1000 }, (_, i) => String(i)));
	});
	await check('MULTI', async () => {
		assert.deepStrictEqual(await c.multi().set('m', '1').incr('m').get('m').exec(), ['OK', 2, '2']);
	});
	await check('SCAN', async () => {
		const keys = new Set();
		for await (const some of c.scanIterator({ MATCH: 'p*', COUNT: 100 }))
			for (const key of [].concat(some))
				keys.add(key);
		assert.strictEqual(keys.size, 1000);
	});
	await check('CONFIG GET and INFO', async () => {
		assert.strictEqual((await c.configGet('databases')).databases, '16');
		assert.match(await c.info(), /kvd_version/);
	});
	await check('publish and subscribe', async () => {
		const listener = await make();
		const got = within((give) => listener.pSubscribe('n?ws', (message, channel) => give([message, channel]))
			.then(() => c.publish('news', 'hi')));
		assert.deepStrictEqual(await got, ['hi', 'news']);
		if (proto === 3) // other commands stay allowed
			assert.strictEqual(await listener.get('m'), '2');
		await listener.quit();
	});
	await check('databases', async () => {
		const five = await make({ database: 5 });
		await five.set('x', 'five');
		assert.deepStrictEqual([await c.get('x'), await five.get('x')], [null, 'five']);
		await five.quit();
	});
	await c.quit();
}

async function withIoredis() {
	const Redis = require('ioredis');
	const make = (more) => new Redis({ path, ...(proto ? { protocol: proto } : {}), ...more });
	const c = make();
	c.on('error', (error) => console.log(`# ${error}`));
	await c.flushall();
	await check('values', async () => {
		assert.strictEqual(await c.set('k', '\u00e4\0\r\n'), 'OK');
		assert.strictEqual(await c.get('k'), '\u00e4\0\r\n');
		assert.deepStrictEqual(await c.getBuffer('k'), Buffer.from('\u00e4\0\r\n'));
		assert.strictEqual(await c.set('k', 'x', 'NX'), null);
		assert.strictEqual(await c.set('t', 'x', 'PX', 100000), 'OK');
		assert.ok((await c.pttl('t')) > 10000);
		assert.deepStrictEqual(await c.mget('k', 'none'), ['\u00e4\0\r\n', null]);
		assert.strictEqual(await c.incrby('n', 5), 5);
		assert.strictEqual(await c.del('k', 'none'), 1);
	});
	await check('an error rejects', () => assert.rejects(c.incr('t'), /not an integer/));
	await check('pipeline', async () => {
		const p = c.pipeline();
		for (let i = 0; i < 1000; i++)
			p.set(`p${i}`, i).get(`p${i}`);
		const got = await p.exec();
		assert.deepStrictEqual(got.filter((_, i) => i % 2).map((x) => x[1]), Array.from({ length: 1000 }, (_, i) => String(i)));
	});
	await check('MULTI', async () => {
		assert.deepStrictEqual(await c.multi().set('m', '1').incr('m').get('m').exec(), [[null, 'OK'], [null, 2], [null, '2']]);
		const broken = await c.multi().set('s', 'x').incr('s').exec();
		assert.match(broken[1][0].message, /not an integer/);
	});
	await check('WATCH', async () => {
		const other = make();
		await c.watch('m');
		await other.set('m', '5');
		assert.strictEqual(await c.multi().incr('m').exec(), null);
		await other.quit();
	});
	await check('scanStream', async () => {
		const keys = new Set();
		for await (const some of c.scanStream({ match: 'p*', count: 100 }))
			some.forEach((key) => keys.add(key));
		assert.strictEqual(keys.size, 1000);
	});
	await check('publish and subscribe', async () => {
		const listener = make();
		const got = within((give) => {
			listener.on('pmessage', (pattern, channel, message) => give([pattern, channel, message]));
			listener.psubscribe('n?ws').then(() => c.publish('news', 'hi'));
		});
		assert.deepStrictEqual(await got, ['n?ws', 'news', 'hi']);
		await listener.quit();
	});
	await check('databases', async () => {
		const five = make({ db: 5 });
		await five.set('x', 'five');
		assert.deepStrictEqual([await c.get('x'), await five.get('x')], [null, 'five']);
		await five.quit();
	});
	await c.quit();
}

(name === 'redis' ? withRedis() : withIoredis()).catch((error) => {
	console.log(`not ok ${++count} - ${name} ran to its end`);
	console.log(String(error.stack).replace(/^/gm, '# '));
	failed++;
}).finally(() => {
	console.log(`1..${count}`);
	process.exit(failed ? 1 : 0);
});
