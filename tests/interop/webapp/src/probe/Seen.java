package probe;

import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServletRequest;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** One request as the container sees it. */
final class Seen {
    /** Attributes that a container keeps to itself unless they are asked for by name. */
    private static final List<String> QUIET = List.of(
            "JK_LB_ACTIVATION",
            "AJP_REMOTE_PORT",
            "AJP_LOCAL_ADDR",
            "AJP_SSL_PROTOCOL",
            "jakarta.servlet.request.cipher_suite",
            "jakarta.servlet.request.key_size",
            "jakarta.servlet.request.ssl_session_id",
            "jakarta.servlet.request.secure_protocol",
            "jakarta.servlet.request.X509Certificate");

    private Seen() {
    }

    /** The digest of a whole upload. */
    record Upload(long length, String sha256) {
        static Upload read(InputStream in) throws IOException {
            MessageDigest digest;
            try {
                digest = MessageDigest.getInstance("SHA-256");
            } catch (NoSuchAlgorithmException e) {
                throw new IOException(e);
            }
            byte[] block = new byte[1 << 16];
            long length = 0;
            for (int got; (got = in.read(block)) > 0; length += got) {
                digest.update(block, 0, got);
            }
            StringBuilder hex = new StringBuilder();
            for (byte b : digest.digest()) {
                hex.append(String.format("%02x", b));
            }
            return new Upload(length, hex.toString());
        }
    }

    /** All there is to know, in a fixed order. Reads the body. */
    static Map<String, Object> of(HttpServletRequest request) throws IOException {
        Map<String, Object> seen = new LinkedHashMap<>();
        line(seen, request);
        addresses(seen, request);
        seen.put("remoteUser", request.getRemoteUser());
        seen.put("authType", request.getAuthType());
        seen.put("requestedSessionId", request.getRequestedSessionId());
        seen.put("sessionIdFromURL", request.isRequestedSessionIdFromURL());
        seen.put("contentType", request.getContentType());
        seen.put("contentLength", request.getContentLengthLong());
        seen.put("cookies", cookies(request));
        seen.put("headers", headers(request));
        seen.put("attributes", attributes(request));
        Upload upload = Upload.read(request.getInputStream());
        seen.put("bodyLength", upload.length());
        seen.put("bodySha256", upload.sha256());
        return seen;
    }

    private static void line(Map<String, Object> seen, HttpServletRequest request) {
        seen.put("method", request.getMethod());
        seen.put("protocol", request.getProtocol());
        seen.put("scheme", request.getScheme());
        seen.put("secure", request.isSecure());
        seen.put("requestURI", request.getRequestURI());
        seen.put("contextPath", request.getContextPath());
        seen.put("servletPath", request.getServletPath());
        seen.put("pathInfo", request.getPathInfo());
        seen.put("query", request.getQueryString());
    }

    private static void addresses(Map<String, Object> seen, HttpServletRequest request) {
        seen.put("serverName", request.getServerName());
        seen.put("serverPort", request.getServerPort());
        seen.put("localName", request.getLocalName());
        seen.put("localAddr", request.getLocalAddr());
        seen.put("localPort", request.getLocalPort());
        seen.put("remoteHost", request.getRemoteHost());
        seen.put("remoteAddr", request.getRemoteAddr());
        seen.put("remotePort", request.getRemotePort());
    }

    private static List<List<String>> headers(HttpServletRequest request) {
        List<List<String>> pairs = new ArrayList<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            for (String value : Collections.list(request.getHeaders(name))) {
                pairs.add(List.of(name, value));
            }
        }
        return pairs;
    }

    private static List<List<String>> cookies(HttpServletRequest request) {
        List<List<String>> pairs = new ArrayList<>();
        Cookie[] cookies = request.getCookies();
        for (Cookie cookie : cookies == null ? new Cookie[0] : cookies) {
            pairs.add(List.of(cookie.getName(), cookie.getValue()));
        }
        return pairs;
    }

    /** Names in the query as attribute=NAME; nothing is decoded, and no body is read for it. */
    private static List<String> wanted(String query) {
        List<String> names = new ArrayList<>();
        for (String part : (query == null ? "" : query).split("&")) {
            if (part.startsWith("attribute=")) {
                names.add(part.substring("attribute=".length()));
            }
        }
        return names;
    }

    private static Map<String, Object> attributes(HttpServletRequest request) {
        Map<String, Object> found = new TreeMap<>();
        List<String> names = new ArrayList<>(QUIET);
        names.addAll(Collections.list(request.getAttributeNames()));
        names.addAll(wanted(request.getQueryString()));
        for (String name : names) {
            Object value = request.getAttribute(name);
            if (value != null) {
                found.put(name, value);
            }
        }
        return found;
    }
}
