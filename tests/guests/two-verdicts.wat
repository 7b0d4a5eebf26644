;; Answers with two verdicts on one offer.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (drop (call $accepted))
  (i32.store (i32.const 24) (i32.const 2))
  (i32.const 16))
