-- Answers oversized requests with a problem, over HTTP/2 as well. Envoy's own limits answer in the middle of the request
-- and then reset the stream, and many clients lose the answer. So the body is read to its end, the part over the limit
-- is discarded as it arrives, and the route of the refusal is chosen. Over MAX_DRAINED_BYTES, and over the codec's own
-- limits of headers, the stream is reset all the same.
--
-- deploy/gateway/envoy.py sets the constants.

local function headers_too_large(headers)
  local count, bytes = 0, 0
  for name, value in pairs(headers) do
    count = count + 1
    bytes = bytes + #name + #value
  end
  return count > MAX_HEADERS or bytes > MAX_HEADER_BYTES
end

function envoy_on_request(handle)
  if not METHODS[handle:headers():get(":method")] then
    handle:respond({[":status"] = "405", ["allow"] = ALLOW}, "")
    return
  end
  if headers_too_large(handle:headers()) then
    handle:respond({[":status"] = "431"}, "")
    return
  end
  local size = 0
  for chunk in handle:bodyChunks() do
    size = size + chunk:length()
    if size > MAX_BODY_BYTES and size <= MAX_DRAINED_BYTES then
      chunk:setBytes("")
    end
  end
  if size > MAX_BODY_BYTES then
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, "body", "too-large")
    handle:clearRouteCache()
  end
end
