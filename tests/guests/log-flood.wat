;; Logs a thousand long lines, and then answers.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (local $lines i32)
  (loop $again
    (call $log (i32.const 2) (i32.const 2048) (i32.const 3000))
    (local.set $lines (i32.add (local.get $lines) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $lines) (i32.const 1000))))
  (call $drop (local.get $object))
  (call $accepted))
