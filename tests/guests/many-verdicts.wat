;; Answers with 300,000 verdicts.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (i32.store (i32.const 24) (i32.const 300000))
  (i32.const 16))
