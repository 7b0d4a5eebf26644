;; Answers with a text of 100 MiB, for which it has to be given the memory.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $drop (local.get $object))
  (drop (memory.grow (i32.const 1600)))
  (memory.fill (i32.const 4194304) (i32.const 0x78) (i32.const 104857600))
  (call $failed (i32.const 4194304) (i32.const 104857600)))
