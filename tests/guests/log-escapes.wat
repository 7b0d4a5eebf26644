;; Logs what clears the screen, turns the line round and forges another line, and then answers.
(data (i32.const 64) "x\1b[2J\e2\80\aey\0d\0aERROR forged")
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $log (i32.const 2) (i32.const 64) (i32.const 23))
  (call $drop (local.get $object))
  (call $accepted))
