;; Takes handles without end and gives none back.
(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (loop $again
    (drop (call $sleep (i64.const 1)))
    (br $again))
  unreachable)
