;; Sleeps for an hour and then answers.
(import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $sleep (param i64) (result i32)))
(import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (call $block (call $sleep (i64.const 3600000000000)))
  (call $accepted))
