;; Answers with a text that ends beyond its memory.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (call $failed (i32.const -65536) (i32.const 100)))
