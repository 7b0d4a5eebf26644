;; Answers with the text at 'answer' of the copy as the status, whatever it is.
(data (i32.const 64) "answer")
(func (export "resource-broker:plugin/status-transformer@0.2.0#transform")
  (param $copy i32) (param $has-previous i32) (param $previous i32) (param i32 i32 i32 i32 i32 i32) (result i32)
  ;; The answer to the look-up, an optional text, is the answer to the call but for the tag in front of it.
  (call $text (local.get $copy) (i32.const 64) (i32.const 6) (i32.const 20))
  (call $drop (local.get $copy))
  (if (local.get $has-previous) (then (call $drop (local.get $previous))))
  (i32.const 16))
