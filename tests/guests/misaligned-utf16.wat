;; Answers with UTF-16 at an odd address. The test has it encoded as a guest whose texts are UTF-16.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (call $failed (i32.const 65) (i32.const 2)))
