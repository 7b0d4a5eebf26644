;; Answers with bytes that are no UTF-8.
(data (i32.const 64) "\ff\fe")
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (call $failed (i32.const 64) (i32.const 2)))
