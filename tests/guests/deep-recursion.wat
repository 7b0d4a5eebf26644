;; Calls itself until the stack is full.
(func $deep (param i32) (call $deep (local.get 0)) (drop (i32.const 1)))
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $deep (i32.const 1))
  unreachable)
