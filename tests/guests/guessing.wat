;; Says that it failed with what it makes of random numbers and clocks: eight bytes, as letters.
(import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
(import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (i64.store (i32.const 64)
    (i64.or
      (i64.and (i64.xor (call $random) (call $now)) (i64.const 0x0f0f0f0f0f0f0f0f))
      (i64.const 0x4040404040404040)))
  (call $failed (i32.const 64) (i32.const 8)))
