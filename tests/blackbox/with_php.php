<?php
// SPDX-License-Identifier: MIT
// phpredis, and the sessions of PHP in it, against a socket. Run by clients.t; prints TAP.
$path = $argv[1];
$count = 0;
$failed = 0;

function is($got, $expected, $name)
{
	global $count, $failed;
	$good = $got === $expected;
	$count++;
	$failed += $good ? 0 : 1;
	echo $good ? '' : 'not ', "ok $count - $name\n";
	if (!$good)
		echo preg_replace('/^/m', '# ', var_export($got, true) . "\nexpected " . var_export($expected, true)), "\n";
}

ini_set('session.save_handler', 'redis');
ini_set('session.save_path', "unix://$path?database=7&prefix=session:");
ini_set('session.use_cookies', '0');
ini_set('session.cache_limiter', '');
ini_set('session.gc_maxlifetime', '300');

ob_start(); // a session wants to begin before there is output
session_id('one');
session_start();
$_SESSION['user'] = "\0name";
session_write_close();
session_id('one');
session_start();
$kept = $_SESSION['user'] ?? null;
session_write_close();
session_id('two');
session_start();
$fresh = $_SESSION;
session_write_close();

$r = new Redis();
$r->connect($path);
is($kept, "\0name", 'a session is there for the next request');
is($fresh, [], 'another one is empty');
$r->select(7);
$ttl = $r->ttl('session:one');
is($ttl > 100 && $ttl <= 300, true, 'it expires');
session_id('one');
@session_start();
session_destroy();
is($r->exists('session:one'), 0, 'and can be destroyed');
$r->select(0);
$r->flushAll();

is($r->set('k', "\0\r\n\xff"), true, 'set');
is($r->get('k'), "\0\r\n\xff", 'get');
is($r->get('none'), false, 'get of nothing');
is($r->set('k', 'x', ['nx', 'px' => 1000]), false, 'set nx of a key there');
is($r->setex('t', 100, 'v'), true, 'setex');
is($r->mGet(['t', 'none']), ['v', false], 'mGet');
is($r->incrBy('n', 5), 5, 'incrBy');
is($r->incrByFloat('n', 0.5), 5.5, 'incrByFloat');
is($r->multi()->set('m', 1)->incr('m')->get('m')->exec(), [true, 2, '2'], 'multi');
$p = $r->multi(Redis::PIPELINE);
for ($i = 0; $i < 500; $i++)
	$p->set("p$i", $i);
is(count(array_filter($p->exec())), 500, 'a pipeline');
$r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
$keys = [];
$cursor = null;
while ($some = $r->scan($cursor, 'p*', 100))
	$keys = array_merge($keys, $some);
is(count(array_unique($keys)), 500, 'scan');
$r->watch('m');
$other = new Redis();
$other->connect($path);
$other->set('m', 9);
is($r->multi()->incr('m')->exec(), false, 'a watched key that changed');
$r->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
$r->set('object', ['a' => [1, 2.5, null]]);
is($r->get('object'), ['a' => [1, 2.5, null]], 'what is serialised comes back');
is($r->incr('object'), false, 'an error');
is(rtrim($r->getLastError(), "\0"), 'ERR value is not an integer or out of range', 'in words');
echo "1..$count\n";
exit($failed ? 1 : 0);
