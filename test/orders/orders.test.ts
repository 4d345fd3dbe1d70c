/** Orders as values: what each order changes, and that repeating one changes nothing. */

import t from 'tap';
import { NO_ORDERS, type Order, obey, ordersFor, parseOrders } from '../../src/orders/orders.ts';

const appleItemId = '6500000001';
const stop: Order = { act: 'stop', appleItemId };
const start: Order = { act: 'start', appleItemId };
const hold = (appleVersionId: string): Order => ({ act: 'hold', appleItemId, appleVersionId });
const release = (appleVersionId: string): Order => ({ act: 'release', appleItemId, appleVersionId });
const use = (appleVersionId: string | undefined): Order => ({ act: 'use', appleItemId, appleVersionId });

const table: readonly [string, Order[], object, number][] = [
  ['no order', [], { isStopped: false, held: [] }, 0],
  ['stop', [stop], { isStopped: true, held: [] }, 1],
  ['stop twice', [stop, stop], { isStopped: true, held: [] }, 1],
  ['stop and resume', [stop, start], { isStopped: false, held: [] }, 2],
  ['resume what was never stopped', [start], { isStopped: false, held: [] }, 0],
  ['hold two versions', [hold('1'), hold('2')], { isStopped: false, held: ['1', '2'] }, 2],
  ['hold one twice', [hold('1'), hold('1')], { isStopped: false, held: ['1'] }, 1],
  ['release one of two', [hold('1'), hold('2'), release('1')], { isStopped: false, held: ['2'] }, 3],
  ['release what is not held', [release('1')], { isStopped: false, held: [] }, 0],
  ['use', [use('1')], { isStopped: false, held: [], used: '1' }, 1],
  ['use another one', [use('1'), use('2')], { isStopped: false, held: [], used: '2' }, 2],
  ['use what is on hold', [hold('1'), hold('2'), use('1')], { isStopped: false, held: ['2'], used: '1' }, 3],
  ['use the newest again', [use('1'), use(undefined)], { isStopped: false, held: [], used: undefined }, 2],
  ['each order leaves the others', [stop, hold('1'), use('2')], { isStopped: true, held: ['1'], used: '2' }, 3],
];
for (const [name, given, expected, revision] of table) {
  const orders = given.reduce(obey, NO_ORDERS);
  t.strictSame(ordersFor(orders, appleItemId), expected, name);
  t.equal(orders.revision, revision, `${name}: revision`);
  t.strictSame(ordersFor(orders, '6500000002'), { isStopped: false, held: [] }, `${name}: no other app is affected`);
  t.match(parseOrders(JSON.stringify(orders)), { revision }, `${name}: can be stored`);
}
for (const text of ['', 'null', '{}', '{"revision":1}', '{"revision":"1","apps":{}}', '{"revision":1,"apps":{"1":7}}'])
  t.throws(() => parseOrders(text), JSON.stringify(text));
