;; Refuses to work if anything is left of the call before.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (if (i32.load (i32.const 2048)) (then unreachable))
  (i32.store (i32.const 2048) (i32.const 1))
  (call $drop (local.get $object))
  (call $accepted))
